"""What is kept of a video, so that other labels need no second upload: vectors, never the file.

V views of a video, D embedding width.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from actionclip.encoding.encoder import Views
from actionclip.inference.results import VideoResult
from actionclip.inference.timeline.result import Watched
from actionclip.serving.answers import RequestError
from actionclip.serving.engine.thumbnails import Thumbnail

OVERHEAD = 6 * 1024
"""Bytes that an entry takes besides its numbers; measured, 400 videos of `tiny`'s 12 frames."""


@dataclass(frozen=True)
class Encoded:
    """A video as the model saw it in some views."""

    result: VideoResult
    """Without scores."""
    embedding: Float[Tensor, "V D"]
    frames: list[Thumbnail] = field(default_factory=list)
    """What the model saw, as small pictures."""

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self.embedding.nbytes + sum(len(one.jpeg) for one in self.frames)


@dataclass
class KeptVideo:
    """What is known of one content that came by one name.

    Who sends it by another name has another id: what was asked about it, and by what name it came,
    is no business of others who have the same file.
    """

    id: str
    digest: str
    name: str = ""
    encoded: dict[Views, Encoded] = field(default_factory=dict)
    films: dict[tuple[float, float], Watched] = field(default_factory=dict)
    """Seen from beginning to end, by the seconds of a window and from one to the next."""
    views: Views | None = None
    """Those of the last answer."""
    used: float = 0.0

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        short = sum(one.nbytes for one in self.encoded.values())
        return OVERHEAD + short + sum(one.windows.nbytes for one in self.films.values())

    @property
    def frames(self) -> list[Thumbnail]:
        """Pictures of what the model saw for the last answer."""
        encoded = None if self.views is None else self.encoded.get(self.views)
        return [] if encoded is None else encoded.frames


class KeptVideos:
    """Videos by an id that cannot be guessed; the least recently used go first.

    Used from the event loop alone, so there is no lock.

    Args:
        memory: most bytes, all together.
        seconds: how long after its last use.
        clock: seconds that only grow.
    """

    def __init__(
        self, memory: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._memory, self._seconds, self._clock = memory, seconds, clock
        self._videos: OrderedDict[str, KeptVideo] = OrderedDict()
        self._by_content: dict[str, dict[str, KeptVideo]] = {}
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._videos)

    def get(self, id: str) -> KeptVideo:
        """The video of an id.

        Raises:
            RequestError: 404 for one that is not there, or not any more.
        """
        self.tidy()
        video = self._videos.get(id)
        if video is None:
            raise RequestError(
                404,
                "unknown_video",
                "This video is not here, or not any more.",
                hint="Send it again.",
            )
        self._use(video)
        return video

    def find(
        self, digest: str, known: Callable[[KeptVideo], object] = lambda _: True
    ) -> KeptVideo | None:
        """The video of a content, by its hash, of which something is known; by whatever name."""
        self.tidy()
        return next(filter(known, self._by_content.get(digest, {}).values()), None)

    def keep(
        self, digest: str, change: Callable[[KeptVideo], None], name: str = ""
    ) -> KeptVideo | None:
        """Add to what is known of a content by a name; None when it is too much to be kept."""
        self.tidy()
        names = self._by_content.get(digest, {})
        video = names.get(name) or KeptVideo(secrets.token_urlsafe(18), digest, name)
        before = video.nbytes if video.id in self._videos else 0
        change(video)
        self.nbytes += video.nbytes - before
        self._videos[video.id] = video
        self._by_content.setdefault(digest, {})[name] = video
        self._use(video)
        if video.nbytes > self._memory:  # by itself; the others need not go for it
            self._forget(video)
        self.tidy()
        return video if video.id in self._videos else None

    def tidy(self) -> None:
        """Let go of what is too old or too much."""
        oldest = self._clock() - self._seconds
        while self._videos:
            video = next(iter(self._videos.values()))
            if video.used >= oldest and self.nbytes <= self._memory:
                return
            self._forget(video)

    def _forget(self, video: KeptVideo) -> None:
        names = self._by_content[video.digest]
        del self._videos[video.id], names[video.name]
        if not names:
            del self._by_content[video.digest]
        self.nbytes -= video.nbytes

    def _use(self, video: KeptVideo) -> None:
        video.used = self._clock()
        self._videos.move_to_end(video.id)
