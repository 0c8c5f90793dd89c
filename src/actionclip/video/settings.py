"""What a model folder or a user may set about pixels: which frames, how large, how much effort."""

from numbers import Integral
from typing import Any, Literal

from actionclip.config import config
from actionclip.errors import ActionCLIPError

LONGEST, LONGEST_PER_FRAME = 1_000_000.0, 1000.0
"""Most seconds for a video, and more for each of its frames: a socket waits for 24 days at most."""


LONGEST_SPACING = 86_400.0
"""Most seconds from frame to frame: a day."""


def plain(number: Any) -> Any:
    """A number of NumPy's or torch's as Python's own, which can be written as JSON."""
    return number.item() if getattr(number, "ndim", None) == 0 else number


def check_counts(**values: Any) -> None:
    """Refuse what is no whole number from 1 on, and name it.

    Raises:
        ActionCLIPError: for the first that is none.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
            raise ActionCLIPError(
                f"{name} is {value}.", expected=f"{name} must be a whole number, 1 or more."
            )


@config
class Sampling:
    """Which frames of a video the model looks at.

    A video is seen in `windows` (temporal views) of `frames` frames each.
    """

    rule: Literal["centres", "random", "spaced"] = "centres"
    """`centres`: the middle of equal parts of the whole video, the authors' test rule. `random`: a
    random frame of each part, their training rule. `spaced`: `spacing` seconds from frame to frame,
    the windows spread over the video."""
    frames: int = 8
    spacing: float | None = None
    """Seconds between neighbouring frames; for the rule `spaced` only."""
    windows: int = 1

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        check_counts(frames=self.frames, windows=self.windows)
        if (self.rule == "spaced") != (self.spacing is not None):
            raise ActionCLIPError(
                f"sampling.rule is {self.rule!r} and sampling.spacing is {self.spacing}.",
                expected="The rule 'spaced' needs a spacing in seconds; the others take none.",
            )
        if self.spacing is not None and not 0 < self.spacing <= LONGEST_SPACING:
            raise ActionCLIPError(
                f"sampling.spacing is {self.spacing}.",
                expected="It must be above 0 seconds, and a day at most.",
            )


@config
class Resize:
    """How a frame becomes smaller, with Pillow's filters: what CLIP's weights were trained with."""

    mode: Literal["shortest", "longest", "squash"] = "shortest"
    """Make the shortest (longest) side `size` and keep the shape, or squash to `size` x `size`."""
    size: int = 224
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        check_counts(size=self.size)


@config
class Preprocess:
    """From a decoded frame to the network's input."""

    size: int = 224
    """Height and width of the input (R)."""
    resize: Resize = Resize()
    crops: Literal[1, 3] = 1
    """1: the centre. 3: both ends and the centre along the longer side (spatial views)."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        check_counts(size=self.size)
        if self.crops not in (1, 3):
            raise ActionCLIPError(f"crops is {self.crops}.", expected="It must be 1 or 3.")
        if min(self.std) <= 0:
            raise ActionCLIPError(f"preprocess.std is {self.std}.", expected="It must be above 0.")


@config
class Limits:
    """What reading one video may cost. Videos from strangers are hostile until proven otherwise."""

    seconds: float = 10.0
    """Wall-clock time for a video, plus `seconds_per_frame` for each frame asked for."""
    seconds_per_frame: float = 0.5
    memory: int = 2 * 2**30
    """Address space of a decoding worker in bytes."""
    pixels: int = 8192 * 4320
    """Largest picture that is decoded."""
    decoded_frames: int = 100_000
    """Most frames decoded for one request."""
    recycle: int = 200
    """Videos a worker reads before a fresh one replaces it."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake, and times that no socket can wait for."""
        if not 0 < self.seconds <= LONGEST:
            raise ActionCLIPError(
                f"limits.seconds (the timeout) is {self.seconds}.",
                expected=f"It must be above 0 and {LONGEST:,.0f} seconds at most.",
            )
        if not 0 <= self.seconds_per_frame <= LONGEST_PER_FRAME:
            raise ActionCLIPError(
                f"limits.seconds_per_frame is {self.seconds_per_frame}.",
                expected=f"It must be from 0 to {LONGEST_PER_FRAME:g} seconds.",
            )
        check_counts(
            memory=self.memory,
            pixels=self.pixels,
            decoded_frames=self.decoded_frames,
            recycle=self.recycle,
        )


@config
class ReadRequest:
    """What to read from a video."""

    sampling: Sampling = Sampling()
    resize: Resize | None = None
    """None: frames keep the video's size."""
    start: float | None = None
    """Seconds after the first frame; None: from the beginning."""
    end: float | None = None
    """Seconds after the first frame; None: to the end."""
    seed: int | None = None
    """Draws frames by chance, the same seed the same ones: for the rule `random`, and where the
    windows of `spaced` begin. None: `random` draws new ones, `spaced` stands as it says."""
    nearest_keyframes: bool = False
    """Take the keyframe nearest to each wanted frame: much faster, and not the wanted frame."""
    numbers: tuple[int, ...] | None = None
    """Exactly these frames, counted in the whole video, ascending: one window, whatever the rule
    is. There are `sampling.frames` of them. None: `sampling` chooses."""


@config
class GridRequest:
    """A whole film, read once from its beginning to its end, a frame every `spacing` seconds."""

    spacing: float
    """Seconds from one point of the grid to the next; each point stands in the middle of its cell,
    so the first is half a spacing after the beginning."""
    even: bool = False
    """Whether the spacing is rounded to whole frames where that changes it by a fifth at most, as
    for the rule `spaced`."""
    resize: Resize | None = None
    """None: frames keep the video's size."""
    points: int = 64
    """Most points of the grid in one part of the answer."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        check_counts(points=self.points)
        if not 0 < self.spacing < float("inf"):
            raise ActionCLIPError(
                f"The spacing is {self.spacing} s.", expected="It must be above 0 seconds."
            )
