"""Frames become smaller with Pillow's filters: what CLIP's weights saw when they were trained.

Pillow alone, without torch, so that decoding workers can do it and hand over small frames. The
results are those of torchvision's `Resize` and open_clip's `ResizeKeepRatio` on Pillow images, to
the last bit; resizing tensors instead is not the same (see `docs/paper.md` for by how much).
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionclip.video.settings import Resize

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def resize(frames: NDArray[np.uint8], settings: Resize) -> NDArray[np.uint8]:
    """Resize RGB frames [T, H, W, 3] to [T, h, w, 3]; `resized_size` says to which h and w."""
    height, width = frames.shape[1:3]
    rows, columns = resized_size(height, width, settings)
    if (rows, columns) == (height, width):
        return frames
    resized = np.empty((len(frames), rows, columns, 3), dtype=np.uint8)
    for source, target in zip(frames, resized, strict=True):
        image = Image.fromarray(source).resize((columns, rows), FILTERS[settings.interpolation])
        target[:] = np.asarray(image)
    return resized


def resized_size(height: int, width: int, settings: Resize) -> tuple[int, int]:
    """Height and width after resizing.

    >>> resized_size(240, 320, Resize(mode="shortest", size=224))
    (224, 298)
    >>> resized_size(240, 320, Resize(mode="longest", size=224))
    (168, 224)
    >>> resized_size(240, 320, Resize(mode="squash", size=224))
    (224, 224)
    """
    size = settings.size
    if settings.mode == "squash":
        return size, size
    if settings.mode == "shortest":  # torchvision cuts the other side's fraction off
        short = min(height, width)
        return (
            size if height == short else int(size * height / short),
            size if width == short else int(size * width / short),
        )
    ratio = max(height, width) / size  # open_clip rounds it
    return max(round(height / ratio), 1), max(round(width / ratio), 1)
