"""Weights in float16: half the bytes, nearly the same answers, and nothing lost on the way."""

import pytest
import torch
from safetensors.torch import load_file
from small_model import small_model

from actionclip.errors import ActionCLIPError
from actionclip.model.convert.halving import NOTE, halve
from actionclip.model.weights.folder import load_folder, save


@pytest.fixture
def folder(tmp_path):
    model = small_model(post="transf")
    model.logit_scale.data.fill_(4.6051702)
    return save(model, tmp_path / "model", labels=["wash dishes", "juggle"])


@pytest.fixture
def run(command_line):
    return command_line


def test_a_halved_folder_answers_nearly_the_same_with_half_the_bytes(folder, tmp_path, run):
    result = run("convert", folder, tmp_path / "small", "--half")

    small = tmp_path / "small"
    assert result.stdout == f"{small}\n"
    before, after = (path / "model.safetensors" for path in (folder, small))
    assert after.stat().st_size < 0.6 * before.stat().st_size
    one, other = load_folder(folder), load_folder(small)
    assert other.config == one.config
    assert {value.dtype for value in other.parameters()} == {torch.float32}
    assert torch.equal(other.logit_scale, one.logit_scale)
    frames = torch.randn(3, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    likeness = torch.cosine_similarity(one.encode_video(frames), other.encode_video(frames))
    assert (likeness > 1 - 1e-5).all()
    assert not torch.equal(one.encode_video(frames), other.encode_video(frames))
    assert NOTE in (small / "README.md").read_text()


def test_halving_in_place_and_twice_changes_no_more_than_once(folder):
    once = load_file(halve(folder, folder) / "model.safetensors")
    twice = load_file(halve(folder, folder) / "model.safetensors")

    assert all(torch.equal(value, twice[name]) for name, value in once.items())
    assert (folder / "README.md").read_text().count(NOTE) == 1


def test_numbers_beyond_half_precision_are_named_and_nothing_is_written(folder, tmp_path):
    model = load_folder(folder)
    name, weights = next((n, p) for n, p in model.named_parameters() if p.ndim == 2)
    weights.data[0, 0] = 70_000
    save(model, folder)

    with pytest.raises(ActionCLIPError, match=f"too large.*{name}"):
        halve(folder, tmp_path / "small")

    assert not (tmp_path / "small").exists()


def test_a_folder_alone_and_options_of_checkpoints_are_refused(folder, tmp_path, run):
    with pytest.raises(ActionCLIPError, match="is a folder"):
        run("convert", folder, tmp_path / "small")
    with pytest.raises(ActionCLIPError, match="--frames and --name were given for a model folder"):
        run("convert", folder, tmp_path / "small", "--half", "--frames", 8, "--name", "a")
