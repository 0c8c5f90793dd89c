"""Input that shows movement, and the small tower that looks at it."""

import dataclasses

import pytest
import torch

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.model.towers.motion import GAIN, motion_input
from actionclip.model.weights.folder import load_folder, save
from actionclip.video.settings import Preprocess, Sampling

ARCHITECTURE = {
    "embed_dim": 32,
    "vision_cfg": {
        "timm_model_name": "actionclip_tiny",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 64,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def build(post="meanp", **prompts):
    torch.manual_seed(0)
    config = ModelConfig(
        backbone=BackboneConfig(name="moving", architecture=ARCHITECTURE, motion=True),
        prompts=PromptConfig(post=post, heads=2, **prompts),
        sampling=Sampling(frames=4),
        preprocess=Preprocess(size=64),
    )
    towers = OpenClipBackbone.from_architecture(ARCHITECTURE, motion=True)
    return ActionCLIP(towers, config).eval()


def test_by_hand():
    """A pixel that is 1, then 3, then 2: it rose by 2 and fell by 1; the ends have no neighbour."""
    frames = torch.tensor([1.0, 3.0, 2.0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 3, 1, 1)

    gray, since, until = motion_input(frames)[0, :, :, 0, 0].unbind(dim=1)

    torch.testing.assert_close(gray, torch.tensor([1.0, 3.0, 2.0]))
    torch.testing.assert_close(since, GAIN * torch.tensor([0.0, 2.0, -1.0]))
    torch.testing.assert_close(until, GAIN * torch.tensor([2.0, -1.0, 0.0]))


def test_colour_is_seen_as_brightness_only():
    green = torch.tensor([0.0, 1.0, 0.0]).reshape(1, 1, 3, 1, 1)

    torch.testing.assert_close(motion_input(green)[0, 0, 0], torch.full((1, 1), 0.587))


def test_it_is_local_in_time():
    """Frames two and more away do not matter, so a frame can be encoded once for many windows."""
    model, video = build(), torch.randn(1, 6, 3, 64, 64)
    changed = video.clone()
    changed[:, 5] = 0

    with torch.no_grad():
        before, after = model.encode_frames(video), model.encode_frames(changed)

    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4], after[:, 4])


def test_a_still_picture_and_a_video_of_it_are_the_same_but_movement_is_not():
    model, picture = build(), torch.randn(1, 1, 3, 64, 64)

    with torch.no_grad():
        one, many = model.encode_video(picture), model.encode_video(picture.expand(1, 5, 3, 64, 64))
        video = torch.randn(1, 4, 3, 64, 64)
        forwards, backwards = model.encode_video(video), model.encode_video(video.flip(1))

    torch.testing.assert_close(one, many)
    assert (forwards - backwards).abs().max() > 1e-3, "mean of frames, and yet the order matters"


def test_a_model_folder_remembers_it(tmp_path):
    model, video = build("transf", position_std=0.3), torch.randn(1, 4, 3, 64, 64)
    save(model, tmp_path / "folder")

    again = load_folder(tmp_path / "folder")

    assert again.config.backbone.motion
    with torch.no_grad():
        torch.testing.assert_close(again.encode_video(video), model.encode_video(video))


@pytest.mark.parametrize("deviation", [0.0, 0.3])
def test_positions_start_as_wide_as_they_are_told(deviation):
    table = build("transf", position_std=deviation).post.frame_position_embeddings.weight

    assert table.std().item() == pytest.approx(deviation, rel=0.1)


def test_a_folder_cannot_ask_for_a_tower_that_nobody_registered(tmp_path):
    model = build()
    vision = {**ARCHITECTURE["vision_cfg"], "timm_model_name": "actionclip_huge"}
    backbone = dataclasses.replace(
        model.config.backbone, architecture={**ARCHITECTURE, "vision_cfg": vision}
    )
    model.config = dataclasses.replace(model.config, backbone=backbone)

    save(model, tmp_path / "folder")

    with pytest.raises(ActionCLIPError, match="actionclip_huge"):
        load_folder(tmp_path / "folder")
