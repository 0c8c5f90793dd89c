"""Weights between the start and the end of a fine-tuning."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from actionclip.cli.app import app
from actionclip.errors import ActionCLIPError
from actionclip.model.weights.folder import load_folder, save
from actionclip.training.adapt.interpolation import interpolate, interpolate_folders, sweep
from training_runs import SETTINGS, fingerprint, run, small_model


def test_halfway_is_the_mean_and_the_ends_are_the_ends_to_the_bit():
    start, end = small_model(0), small_model(1)

    half = interpolate(start, end, 0.5).state_dict()

    for name, value in half.items():
        mean = (start.state_dict()[name] + end.state_dict()[name]) / 2
        torch.testing.assert_close(value, mean, msg=name)
    assert fingerprint(interpolate(start, end, 0.0)) == fingerprint(start)
    assert fingerprint(interpolate(start, end, 1.0)) == fingerprint(end)


def test_a_prompt_that_only_one_has_is_kept_as_it_is():
    plain, with_head = small_model(0), small_model(1, post="transf")
    torch.nn.init.normal_(with_head.post.frame_position_embeddings.weight)
    frames = torch.rand(2, 2, 3, 16, 16)

    for start, end in ((plain, with_head), (with_head, plain)):
        model = interpolate(start, end, 0.25)

        assert model.config.prompts.post == "transf"
        for name, value in with_head.post.state_dict().items():
            assert torch.equal(model.post.state_dict()[name], value), name
        assert model.encode_video(frames).shape == (2, 16)
        expected = 0.75 * start.logit_scale + 0.25 * end.logit_scale
        assert model.logit_scale.dtype == torch.float32
        torch.testing.assert_close(model.logit_scale.data, expected.data)


def test_weights_in_bfloat16_are_mixed_in_float32():
    start, end = small_model(0), small_model(1)
    exact = interpolate(start, end, 0.3).state_dict()

    model = interpolate(start.cast(torch.bfloat16), end.cast(torch.bfloat16), 0.3)

    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, exact[name], rtol=0.02, atol=0.02)


def test_models_that_do_not_go_together_are_refused():
    other = small_model()
    towers = other.config.backbone.architecture | {"embed_dim": 24}
    other.config = replace(
        other.config, backbone=replace(other.config.backbone, architecture=towers)
    )
    with pytest.raises(ActionCLIPError, match=r"other towers .* differ in embed_dim"):
        interpolate(small_model(), other, 0.5)
    other = small_model()
    other.config = replace(other.config, backbone=replace(other.config.backbone, motion=True))
    with pytest.raises(ActionCLIPError, match=r"differ in motion"):
        interpolate(small_model(), other, 0.5)
    with pytest.raises(ActionCLIPError, match="'lstm', the end's 'transf'"):
        interpolate(small_model(post="lstm"), small_model(post="transf"), 0.5)
    with pytest.raises(ActionCLIPError, match=r"another shape: pre\.time_embedding"):
        interpolate(small_model(pre="joint"), small_model(pre="joint", positions=5), 0.5)
    with pytest.raises(ActionCLIPError, match=r"alpha is 1\.5"):
        interpolate(small_model(), small_model(), 1.5)


def test_folders_and_the_verb_write_an_ordinary_model(tmp_path):
    save(small_model(0), tmp_path / "start")
    save(small_model(1), tmp_path / "end", labels=["red", "blue"])

    interpolate_folders(tmp_path / "start", tmp_path / "end", tmp_path / "python", alpha=0.25)
    words = ["interpolate", tmp_path / "start", tmp_path / "end", "--alpha", 0.25, "--json"]
    done = CliRunner().invoke(app, [*map(str, words), "--out", str(tmp_path / "verb")])

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["alpha"] == 0.25
    found = load_folder(tmp_path / "verb")
    assert fingerprint(found) == fingerprint(load_folder(tmp_path / "python"))
    assert fingerprint(found) == fingerprint(interpolate(small_model(0), small_model(1), 0.25))
    assert found.config.labels == ("red", "blue")
    card = (tmp_path / "verb" / "README.md").read_text()
    assert "0.75 x the start (`start`) + 0.25 x the end" in " ".join(card.split())


def test_several_alphas_are_evaluated():
    scores = sweep(
        small_model(0),
        small_model(1),
        (0.0, 0.5, 1.0),
        lambda model: {"scale": model.logit_scale.item(), "first": model.pre is None},
    )

    assert list(scores) == [0.0, 0.5, 1.0]
    assert scores[0.0]["scale"] == small_model(0).logit_scale.item()


def test_a_run_writes_what_lies_between_its_start_and_its_end(tmp_path):
    weights, _ = run(tmp_path, replace(SETTINGS, interpolate=0.5), model=small_model())

    assert fingerprint(load_folder(tmp_path / "start")) == fingerprint(small_model())
    mixed = load_folder(tmp_path / "interpolated")
    assert mixed.config.labels == ("red", "green", "blue")
    end = load_folder(tmp_path / "last")
    assert fingerprint(end) == weights
    assert fingerprint(mixed) == fingerprint(interpolate(small_model(), end, 0.5))
    assert "0.5 x the start (`start`)" in " ".join(
        (tmp_path / "interpolated" / "README.md").read_text().split()
    )
    with pytest.raises(ActionCLIPError, match=r"interpolate is 2"):
        replace(SETTINGS, interpolate=2.0)
