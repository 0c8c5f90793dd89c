"""What can become of a video: one code for each, and what a person can do about it."""

from enum import StrEnum

from actionclip.errors import ActionCLIPError


class Outcome(StrEnum):
    """How reading a video ended. `ok` and `degraded` have frames, the others do not."""

    OK = "ok"
    DEGRADED = "degraded"
    UNREADABLE = "unreadable"
    NO_VIDEO = "no_video"
    UNSUPPORTED_CODEC = "unsupported_codec"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASHED = "crashed"

    @property
    def usable(self) -> bool:
        """Whether there are frames to look at."""
        return self in (Outcome.OK, Outcome.DEGRADED)


HINTS = {
    Outcome.OK: "",
    Outcome.DEGRADED: "Parts of the file are damaged; the scores rest on the frames that decoded.",
    Outcome.UNREADABLE: "Check that it plays elsewhere; copy or download it again.",
    Outcome.NO_VIDEO: "The file has no moving picture: give one that has.",
    Outcome.UNSUPPORTED_CODEC: "Convert it, for example: ffmpeg -i IN -c:v libx264 OUT.mp4",
    Outcome.EMPTY: "Check that it plays elsewhere; copy or download it again.",
    Outcome.TOO_LARGE: "Scale it down first, for example: ffmpeg -i IN -vf scale=-2:720 OUT.mp4",
    Outcome.TIMEOUT: "Allow more time with --timeout SECONDS, or convert it to H.264 MP4.",
    Outcome.MEMORY: "Decoding it needs more memory than a worker may use; scale it down first.",
    Outcome.CRASHED: "The decoder died on this file twice; do not trust the file.",
}


class VideoError(ActionCLIPError):
    """A video that gave no frames."""

    def __init__(self, what: str, code: Outcome, *, hint: str | None = None) -> None:
        super().__init__(what, hint=HINTS[code] if hint is None else hint)
        self.code = code
