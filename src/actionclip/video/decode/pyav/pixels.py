"""A decoded frame becomes an RGB picture: its own colours, the right way up, resized.

Pictures are resized as they come, so that a worker holds small ones only, however large the video.
"""

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.resize import resize, resized_size
from actionclip.video.settings import Limits, Resize

Matrix = tuple[int, int, int, int]
"""(a, b, c, d), where a player shows at x' = ax + cy and y' = bx + dy what is stored at x, y."""


class Pictures:
    """Makes frames of one video into pictures of one size, [H, W, 3], that of the first."""

    def __init__(self, settings: Resize | None, limits: Limits, wanted: int) -> None:
        """`wanted` is how many pictures will be asked for at most."""
        self._settings = settings
        self._limits = limits
        self._wanted = wanted
        self._size: tuple[int, int] | None = None
        self._rotation: int | None = None
        self._matrix: Matrix | None = None
        # One for all: left to themselves frames make one each, with threads and their stacks, and
        # under a memory limit those soon cannot be started any more.
        self._reformatter = VideoReformatter()
        self.changed = False
        """Whether a frame had another size than the first one."""

    def make(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The picture of a frame.

        Raises:
            VideoError: if the pictures together would not fit into a worker's memory.
        """
        if self._size is None:
            self._size = (frame.width, frame.height)
            self.check(frame.width, frame.height)
        if (frame.width, frame.height) != self._size:
            self.changed = True
        # swscale takes the frame's own matrix (BT.601, 709, 2020) and range into account.
        width, height = self._size
        converted = self._reformatter.reformat(frame, width, height, "rgb24", threads=1)
        image = np.asarray(converted.to_ndarray(), np.uint8)
        if frame.rotation != self._rotation:
            # Not for every frame: a frame whose side data was looked at is not freed by itself.
            self._rotation, self._matrix = frame.rotation, display_matrix(frame)
        upright = np.ascontiguousarray(turn(image, self._matrix))
        return self.fit(upright)

    @property
    def turned(self) -> bool:
        """Whether the last frame lay on its side: height and width changed places."""
        return _on_its_side(self._matrix)

    def fit(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize one picture, [H, W, 3], as asked."""
        return image if self._settings is None else resize(image[None], self._settings)[0]

    def check(self, width: int, height: int) -> None:
        """Refuse pictures, given their size before resizing, that no worker could hold.

        Raises:
            VideoError: if so.
        """
        if self._settings is not None:
            height, width = resized_size(height, width, self._settings)
        size = self._wanted * width * height * 3
        if width * height > self._limits.pixels or size > self._limits.memory // 2:
            raise VideoError(
                f"{self._wanted} pictures of {width} x {height} need {size} bytes, "
                f"and a worker may use {self._limits.memory}.",
                Outcome.TOO_LARGE,
            )


def display_matrix(frame: VideoFrame) -> Matrix | None:
    """How a player turns the frame."""
    try:
        data = bytes(frame.side_data["DISPLAYMATRIX"])  # pyright: ignore[reportGeneralTypeIssues]
    except KeyError:
        return None
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
    return a, b, c, d


def turn(image: NDArray[np.uint8], matrix: Matrix | None) -> NDArray[np.uint8]:
    """Apply the quarter turns and the mirroring of a display matrix to a picture [H, W, 3].

    >>> image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    >>> turn(image, (0, 1, -1, 0))[..., 0].tolist()  # a phone held upright: a turn to the right
    [[3, 0], [4, 1], [5, 2]]
    """
    if matrix is None:
        return image
    a, b, c, d = matrix
    if _on_its_side(matrix):
        image, flip_rows, flip_columns = image.swapaxes(0, 1), b < 0, c < 0
    else:
        flip_rows, flip_columns = d < 0, a < 0
    return image[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _on_its_side(matrix: Matrix | None) -> bool:
    if matrix is None:
        return False
    a, b, c, d = matrix
    return abs(a) + abs(d) < abs(b) + abs(c)
