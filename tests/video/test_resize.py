import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode, v2

from actionclip.video.resize import resize, resized_size
from actionclip.video.settings import Resize

FILTERS = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}
SIZES = [(240, 320), (320, 240), (144, 180), (360, 640), (97, 211), (224, 224), (224, 500), (8, 9)]


def noise(frames, height, width):
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def scene(height, width):
    """Smooth shades with hard edges, like a photograph and unlike noise."""
    y, x = np.mgrid[:height, :width]
    shades = np.stack([x * 255 / width, y * 255 / height, (x + y) % 256], axis=-1)
    shades[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2] = (250, 240, 10)
    shades[(x // 13) % 7 == 0] = (5, 5, 40)
    return shades.astype(np.uint8)[None]


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("size", [32, 224, 256])
def test_resize_gives_torchvisions_bits(interpolation, mode, size):
    theirs = transforms.Resize(size if mode == "shortest" else (size, size), FILTERS[interpolation])
    for height, width in SIZES:
        frames = noise(2, height, width)

        ours = resize(frames, Resize(mode=mode, size=size, interpolation=interpolation))

        expected = np.stack([np.asarray(theirs(Image.fromarray(frame))) for frame in frames])
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("interpolation", FILTERS)
def test_resize_of_the_longest_side_gives_open_clips_bits(interpolation):
    from open_clip.transform import ResizeKeepRatio

    theirs = ResizeKeepRatio(224, longest=1, interpolation=FILTERS[interpolation])
    for height, width in SIZES:
        frames = noise(1, height, width)

        ours = resize(frames, Resize(mode="longest", interpolation=interpolation))

        np.testing.assert_array_equal(ours[0], np.asarray(theirs(Image.fromarray(frames[0]))))


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    size=st.integers(1, 1000),
    mode=st.sampled_from(["shortest", "longest", "squash"]),
)
def test_resized_size_keeps_its_promise(height, width, size, mode):
    new = resized_size(height, width, Resize(mode=mode, size=size))

    if mode == "squash":
        assert new == (size, size)
    else:
        assert (min if mode == "shortest" else max)(new) == size
        assert (new[0] <= new[1]) if height <= width else (new[0] >= new[1])


def largest_and_mean_difference(frames, settings):
    """Between ours and torchvision's resize of tensors, in steps of 1/255."""
    ours = resize(frames, settings)
    tensor = v2.functional.resize(
        torch.from_numpy(frames).permute(0, 3, 1, 2),
        list(resized_size(*frames.shape[1:3], settings)),
        FILTERS[settings.interpolation],
        antialias=True,
    )
    difference = np.abs(tensor.permute(0, 2, 3, 1).numpy().astype(int) - ours)
    return difference.max(), difference.mean()


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [112, 224, 480])
def test_resizing_tensors_instead_is_almost_the_same(interpolation, size):
    largest, mean = largest_and_mean_difference(
        scene(240, 320), Resize(size=size, interpolation=interpolation)
    )

    assert largest <= 2
    assert mean <= 0.01


@pytest.mark.parametrize("interpolation", FILTERS)
def test_resizing_tensors_instead_is_almost_the_same_on_real_frames(videos, interpolation):
    for path in sorted((videos / "asl").glob("*.mkv"))[:8]:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0)).to_ndarray(format="rgb24")

        largest, mean = largest_and_mean_difference(
            frame[None], Resize(interpolation=interpolation)
        )

        assert largest <= 3
        assert mean <= 0.01
