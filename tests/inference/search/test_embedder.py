"""A real model as an index sees it."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import actionclip
from actionclip.inference.search import Index, Span
from actionclip.inference.search.embedder import ModelEmbedder
from actionclip.video.sources import find_videos
from sample_videos import write_video


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for seed, seconds in enumerate((1, 3, 5)):
        write_video(folder / f"{seed}.mp4", seed=seed, frames=12 * seconds, fps=12)
    (folder / "1b.mp4").write_bytes(b"this is no video")
    return folder


def fingerprint(model):
    return ModelEmbedder(actionclip.inference.recognizer.Recognizer(model)).fingerprint


def test_films_come_in_order_with_unit_vectors(recognizer, films):
    sources = find_videos([films])

    found = list(ModelEmbedder(recognizer).windows(sources, Span(2, 1)))

    assert [film.source.path.name for film in found] == ["0.mp4", "1.mp4", "1b.mp4", "2.mp4"]
    assert [str(film.status) for film in found] == ["ok", "ok", "unreadable", "ok"]
    assert [len(film.starts) for film in found] == [1, 2, 0, 4]
    assert found[3].starts == pytest.approx([0, 1, 2, 3], abs=0.1)
    assert found[3].ends == pytest.approx([2, 3, 4, 5], abs=0.1)
    assert found[2].message
    for film in found:
        np.testing.assert_allclose(np.linalg.norm(film.vectors, axis=1), 1, atol=1e-5)


def test_leaving_films_half_way_leaves_nothing_behind(recognizer, films):
    import threading

    before = threading.active_count()
    reading = ModelEmbedder(recognizer).windows(find_videos([films]), Span(2, 1))
    next(reading)
    reading.close()

    assert threading.active_count() <= before


def test_precision_does_not_change_the_fingerprint_but_weights_and_frames_do(recognizer):
    model = copy.deepcopy(recognizer.model)
    same = ModelEmbedder(recognizer).fingerprint
    assert fingerprint(model) == same

    halved = actionclip.load("tiny", device="cpu", precision="bf16")
    assert ModelEmbedder(halved).fingerprint == same

    model.config = replace(model.config, sampling=replace(model.config.sampling, frames=6))
    assert fingerprint(model) != same
    model.config = recognizer.model.config
    with torch.no_grad():
        next(model.post.parameters()).add_(0.1)
    assert fingerprint(model) != same


def test_an_example_and_words_are_unit_vectors(recognizer, films):
    embedder = ModelEmbedder(recognizer)

    for vector in (embedder.text("running", None), embedder.clip(films / "2.mp4")):
        assert vector.shape == (embedder.dimension,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert embedder.text("running", ["a film of {}"]) == pytest.approx(
        recognizer.embed_text("a film of running")[0].numpy(), abs=1e-5
    )


def test_an_index_opened_with_a_recogniser(recognizer, films, tmp_path):
    index = Index.open(tmp_path / "index", recognizer, window=3, model="tiny")

    report = index.add(films)

    assert report.counts == {"added": 3, "failed": 1}
    assert Index.info(tmp_path / "index").model == "tiny"
    assert Index.open(tmp_path / "index", recognizer).span == Span(3, 1)
    with pytest.raises(actionclip.ActionCLIPError, match="3 s every 1 s"):
        Index.open(tmp_path / "index", recognizer, window=4)
    [best] = index.search(films / "2.mp4", 1, since=None)
    assert best.source == str(films / "2.mp4")
