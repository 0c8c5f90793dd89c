import random

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.transform import image_transform
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from actionclip.video.resize import resize
from actionclip.video.settings import Preprocess, Resize
from actionclip.video.transforms import crop_and_flip, multi_scale_crop, normalise, to_input

PRETRAINED = [
    "ViT-B-32/openai",  # shortest, bicubic
    "ViT-B-16-SigLIP/webli",  # squash, bicubic, mean 0.5
    "MobileCLIP-S1/datacompdr",  # shortest, bilinear, mean 0
    "ViTamin-B/datacomp1b",  # squash or shortest, as its file says
    "convnext_base/laion400m_s13b_b51k",
    "PE-Core-B-16/meta",  # squash, bilinear
]


def noise(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(240, 320), (320, 240), (145, 181), (224, 224)])
@pytest.mark.parametrize(("shorter", "size"), [(256, 224), (224, 224), (37, 32)])
def test_one_crop_gives_torchvisions_bits(height, width, shorter, size):
    settings = Preprocess(size=size, resize=Resize(size=shorter))
    theirs = transforms.Compose(
        [
            transforms.Resize(shorter, InterpolationMode.BICUBIC),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(settings.mean, settings.std),
        ]
    )
    frames = noise(3, height, width)

    [ours] = to_input(resize(frames, settings.resize)[None], settings)

    torch.testing.assert_close(
        ours, torch.stack([theirs(Image.fromarray(frame)) for frame in frames]), rtol=0, atol=0
    )


@pytest.mark.parametrize("name", PRETRAINED)
def test_input_is_open_clips_own_for_its_models(name):
    model, tag = name.split("/")
    told = open_clip.get_pretrained_cfg(model, tag)
    size = open_clip.get_model_config(model)["vision_cfg"].get("image_size", 224)
    how = {
        "mean": told["mean"],
        "std": told["std"],
        "interpolation": told["interpolation"],
        "resize_mode": told["resize_mode"],
    }
    settings = Preprocess(
        size=size,
        resize=Resize(mode=how["resize_mode"], size=size, interpolation=how["interpolation"]),
        mean=tuple(map(float, told["mean"])),
        std=tuple(map(float, told["std"])),
    )
    theirs = image_transform(size, is_train=False, **how)
    [frame] = noise(1, 240, 320)

    [[ours]] = to_input(resize(frame[None], settings.resize)[None], settings)

    torch.testing.assert_close(ours, theirs(Image.fromarray(frame)), rtol=0, atol=0)


def test_the_longest_side_is_padded_as_open_clip_does():
    settings = Preprocess(size=64, resize=Resize(mode="longest", size=64))
    theirs = image_transform(64, is_train=False, resize_mode="longest")
    for height, width in [(120, 160), (160, 121), (33, 90)]:
        [frame] = noise(1, height, width)

        [[ours]] = to_input(resize(frame[None], settings.resize)[None], settings)

        torch.testing.assert_close(ours, theirs(Image.fromarray(frame)), rtol=0, atol=0)


def test_three_crops_stand_along_the_longer_side():
    settings = Preprocess(size=4, crops=3, mean=(0.0, 0.0, 0.0), std=(1 / 255,) * 3)
    rows, columns = np.mgrid[:4, :10]
    wide = np.stack([rows, columns, rows], axis=-1).astype(np.uint8)[None, None]

    crops = to_input(wide, settings)
    upright = to_input(wide.swapaxes(2, 3), settings)

    assert crops.shape == (3, 1, 3, 4, 4)
    assert [crop[0, 1, 0, 0].round().item() for crop in crops] == [0, 3, 6]
    assert [crop[0, 1, 0, 0].round().item() for crop in upright] == [0, 3, 6]


def test_the_crops_of_a_window_stand_together_and_the_middle_one_is_the_single_crop():
    three = Preprocess(size=32, crops=3, resize=Resize(size=32))
    frames = noise(2, 4, 32, 50)

    views = to_input(frames, three)

    assert views.shape == (6, 4, 3, 32, 32)
    single = to_input(frames, Preprocess(size=32, resize=Resize(size=32)))
    torch.testing.assert_close(views[1::3], single, rtol=0, atol=0)


def test_frames_that_may_not_be_written_to_are_taken_and_left_alone():
    frames = noise(1, 2, 32, 32)
    before = frames.copy()
    frames.flags.writeable = False

    to_input(frames, Preprocess(size=32))

    np.testing.assert_array_equal(frames, before)


def test_multi_scale_crops_are_the_authors(golden):
    recorded = golden("transforms")
    for (width, height), crops in zip(
        recorded["msc/sizes_wh"].tolist(), recorded["msc/crop_w_h_offw_offh"].tolist(), strict=True
    ):
        for seed, expected in enumerate(crops):
            box = multi_scale_crop(width, height, 224, random.Random(seed))
            assert [box.width, box.height, box.left, box.top] == expected


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_crop_and_flip_give_the_authors_pixels(golden, seed):
    frames = np.stack(
        [
            np.random.default_rng(300 + i).integers(0, 256, (40, 48, 3), dtype=np.uint8)
            for i in range(4)
        ]
    )

    cropped = crop_and_flip(frames, 32, random.Random(seed))

    stacked = np.concatenate(list(cropped), axis=-1)  # theirs: frames beside channels
    np.testing.assert_array_equal(stacked, golden("transforms")[f"chain{seed}/uint8"])


def test_normalised_pixels_are_the_authors(golden):
    recorded = golden("transforms")
    pixels = torch.from_numpy(recorded["chain0/uint8"]).reshape(32, 32, 4, 3).permute(2, 3, 0, 1)

    values = normalise(pixels, Preprocess())

    torch.testing.assert_close(
        values.reshape(12, 32, 32),
        torch.from_numpy(recorded["chain0/normalized"]),
        rtol=0,
        atol=1e-6,
    )


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    size=st.integers(1, 400),
    seed=st.integers(0, 10**6),
)
def test_multi_scale_crops_stay_inside_the_frame(width, height, size, seed):
    box = multi_scale_crop(width, height, size, random.Random(seed))

    assert box.left >= 0
    assert box.left + box.width <= width
    assert box.top >= 0
    assert box.top + box.height <= height
    assert min(box.width, box.height) >= max(int(0.66 * min(width, height)) - 2, 1)


def test_half_of_the_windows_are_mirrored_and_none_when_left_and_right_matter():
    frames = np.zeros((1, 40, 40, 3), np.uint8)
    frames[:, :, :20] = 255

    def bright_left(seed, *, flip):
        return crop_and_flip(frames, 32, random.Random(seed), flip=flip)[0, 16, 0, 0] > 127

    as_they_are = [bright_left(seed, flip=False) for seed in range(100)]
    perhaps = [bright_left(seed, flip=True) for seed in range(100)]

    assert all(as_they_are)
    assert 30 <= sum(perhaps) <= 70
