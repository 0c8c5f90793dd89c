"""What was encoded is kept in the folder of the results, and found again by what is the same."""

from dataclasses import replace

import numpy as np
import pytest

from actionclip.data.manifest import Manifest
from actionclip.encoding.encoder import VideoEncoder
from actionclip.errors import ActionCLIPError
from actionclip.evaluation import evaluate
from evaluation.data_sets import CLASSES, make_clips, two_layers

ONE = {"workers": 1}


def vectors(evaluation):
    return [part.sheet.scores for part in evaluation.parts]


def test_what_was_encoded_is_found_again(model, manifest, tmp_path, monkeypatch):
    first = evaluate(model, manifest, folder=tmp_path, reading=ONE)
    encoded = []
    real = VideoEncoder.encode
    monkeypatch.setattr(
        VideoEncoder,
        "encode",
        lambda self, videos, *a, **k: real(self, [encoded.append(v) or v for v in videos], *a, **k),
    )
    again = evaluate(model, manifest, folder=tmp_path, reading=ONE, templates="authors16")

    assert encoded == []
    assert again.settings["sentences"] == 16 * 4
    assert first.settings["sentences"] == 2 * 4
    told = {name: [f"{name}, seen from afar", f"{name} at home", name] for name in CLASSES}
    described = evaluate(model, manifest, folder=tmp_path, reading=ONE, descriptions=told)
    assert described.settings["sentences"] == 3 * 4
    same = evaluate(model, manifest, folder=tmp_path, reading=ONE)
    np.testing.assert_array_equal(vectors(same)[0], vectors(first)[0])


def test_another_model_does_not_find_its_vectors_there(model, manifest, tmp_path):
    evaluate(model, manifest, folder=tmp_path, reading=ONE)

    with pytest.raises(ActionCLIPError, match=r"made otherwise .*model: "):
        evaluate(two_layers(seed=1, post="transf"), manifest, folder=tmp_path, reading=ONE)
    with pytest.raises(ActionCLIPError, match=r"made otherwise .*sampling: "):
        evaluate(model, manifest, folder=tmp_path, reading=ONE, views="3x1")


def test_other_clips_are_refused_as_many_as_there_may_be(model, tmp_path):
    """The official splits of HMDB51 have equally many."""
    clips = make_clips(tmp_path, count=6).only("test")
    first, second = (Manifest(rows, CLASSES, tmp_path) for rows in (clips.rows[:2], clips.rows[2:]))
    whole = evaluate(model, first, folder=tmp_path / "out", reading=ONE)

    with pytest.raises(ActionCLIPError, match=r"made otherwise .*clips: 2 of list .* 2 of list"):
        evaluate(model, second, folder=tmp_path / "out", reading=ONE)

    again = evaluate(model, first, folder=tmp_path / "out", reading=ONE)
    np.testing.assert_array_equal(vectors(again)[0], vectors(whole)[0])


def test_a_protocol_that_draws_the_same_clips_in_another_order_finds_their_vectors(
    model, tmp_path, monkeypatch
):
    data = make_clips(tmp_path, count=8)
    rows = tuple(replace(row, split="test") for row in data.rows)
    mixed = Manifest(rows[::-1], data.classes, data.root)
    evaluate(model, mixed, protocol="zero-shot", folder=tmp_path / "out", reading=ONE)
    monkeypatch.setattr(VideoEncoder, "encode", lambda *_, **__: iter(()))

    for order in (mixed, Manifest(rows, data.classes, data.root)):
        for protocol in ("zero-shot", "zero-shot-half-classes"):
            found = evaluate(
                model, order, protocol=protocol, folder=tmp_path / "out", reading=ONE, draws=0
            )
            assert (found.clips, found.failures) == (8, [])


def test_a_file_that_changed_is_read_again(model, tmp_path):
    data = make_clips(tmp_path, count=3)
    good = (tmp_path / "01.mp4").read_bytes()
    (tmp_path / "01.mp4").write_bytes(b"this is no video")
    before = evaluate(model, data, folder=tmp_path / "out", reading=ONE)
    (tmp_path / "01.mp4").write_bytes(good)

    after = evaluate(model, data, folder=tmp_path / "out", reading=ONE)

    assert (len(before.failures), len(after.failures)) == (1, 0)


@pytest.mark.parametrize("damage", [b"", b"PK broken", "shorter", "a changed kind"])
def test_a_damaged_part_is_made_again(model, manifest, tmp_path, damage):
    first = evaluate(model, manifest, folder=tmp_path, reading=ONE)
    [part] = (tmp_path / "vectors").glob("*.npz")
    if damage == "shorter":
        damage = part.read_bytes()[:-50]
    elif damage == "a changed kind":
        whole = part.read_bytes()
        method = whole.index(b"PK\x01\x02") + 10  # of compression, in the list at the end
        damage = whole[:method] + b"\x63" + whole[method + 1 :]
    part.write_bytes(damage)

    again = evaluate(model, manifest, folder=tmp_path, reading=ONE)

    np.testing.assert_array_equal(vectors(again)[0], vectors(first)[0])
