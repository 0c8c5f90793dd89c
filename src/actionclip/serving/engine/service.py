"""One model answers many clients: places in a queue, decoding, vectors, scores, what is kept.

The event loop calls this; whatever takes long runs in threads: decoding waits in as many threads as
there are workers, the image tower has one, sentences have one, and questions whose words are known
one more, so that they never wait for a video. Films for a timeline have a thread too, and so have
explanations; they take turns at the image tower with the rest.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from actionclip.encoding.encoder import Views
from actionclip.encoding.questions import Question
from actionclip.errors import ActionCLIPError
from actionclip.inference.recognizer import Recognizer
from actionclip.inference.results import VideoResult
from actionclip.inference.timeline.result import Watched
from actionclip.serving.answers import RequestError, wrong
from actionclip.serving.asked import (
    Asked,
    ClassifyRequest,
    EmbedRequest,
    SearchRequest,
    TimelineRequest,
)
from actionclip.serving.engine.batching import Batcher, Heed, one_at_a_time, while_wanted
from actionclip.serving.engine.kept import Encoded, KeptVideo, KeptVideos
from actionclip.serving.engine.thumbnails import Thumbnail, thumbnails
from actionclip.serving.engine.words import Wording, Words
from actionclip.serving.settings import ServeConfig
from actionclip.serving.uploads.receive import Received
from actionclip.serving.uploads.spool import Spool
from actionclip.video.sources import Source

if TYPE_CHECKING:
    from actionclip.serving.engine.library import Library

T = TypeVar("T")
SCORING = 4
"""Questions that are scored at a time; others wait, so that the event loop has few things to do at
once and answers `/health` soon."""
AHEAD, AHEAD_ON_ACCELERATORS = 8, 64
"""Decoded clips that may wait for the model."""


class Service:
    """Everything behind the routes.

    Args:
        recognizer: the model; closed together with this.
        name: what it was loaded by.
        settings: limits.
        library: what can be searched.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        name: str,
        settings: ServeConfig,
        library: "Library | None" = None,
    ) -> None:
        self.recognizer, self.name, self.settings = recognizer, name, settings
        self._library = library
        one_at_a_time(recognizer.model)
        self.spool = Spool(settings.folder, settings.max_spool)
        self.words = Words(recognizer.model, settings)
        self.kept = KeptVideos(settings.keep_memory, settings.keep_seconds)
        self.batcher = Batcher(recognizer.encoder, lambda: self._coming)
        self.busy = self._coming = 0
        self.started = time.monotonic()
        self._seconds = 1.0
        workers = recognizer.encoder.decoders.workers
        self._decoding = ThreadPoolExecutor(workers, "decoding")
        self._sentences = ThreadPoolExecutor(1, "sentences")
        self._scoring = ThreadPoolExecutor(1, "scoring")
        self._films = ThreadPoolExecutor(1, "films")
        self._explanations = ThreadPoolExecutor(1, "explanations")
        self._turn = asyncio.Semaphore(SCORING)
        on_cpu = recognizer.device.type == "cpu"
        self._ahead = asyncio.Semaphore(AHEAD if on_cpu else AHEAD_ON_ACCELERATORS)

    def close(self) -> None:
        """End the threads and the workers, and remove what lies on the disk."""
        pools = (self._decoding, self._sentences, self._scoring, self._films, self._explanations)
        for pool in pools:
            pool.shutdown(cancel_futures=True)
        self.batcher.close()
        self.recognizer.close()
        self.spool.close()

    def check_room(self) -> None:
        """Refuse what would have to wait too long.

        Raises:
            RequestError: 429, with the seconds after which to try again.
        """
        if self.busy >= self.settings.queue:
            raise RequestError(
                429,
                "busy",
                f"{self.busy} videos wait or are worked on.",
                hint="Send it again after the seconds in the header Retry-After.",
                wait=min(self._seconds, 60),
            )

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the queue, for as long as something is worked on.

        Raises:
            RequestError: 429 when all are taken.
        """
        self.check_room()
        self.busy += 1
        start = time.monotonic()
        try:
            yield
        finally:
            self.busy -= 1
            self._seconds += 0.1 * (time.monotonic() - start - self._seconds)

    async def classify(self, received: Received, asked: ClassifyRequest) -> dict[str, Any]:
        """Scores for a video that was sent, or for one that is kept.

        Raises:
            RequestError: for what cannot be answered.
        """
        views = asked.views(self.recognizer.config, self.settings)
        wording = self.words.wording(asked)
        question, warnings = await self.question(wording, asked.threshold)
        result, encoded, video = await self.encoded(received, asked, views)
        if encoded is not None:
            vectors = encoded.embedding
            scores = await self._score(question.scores, vectors, top_k=asked.top_k)
            sure = await self._score(question.label_set, vectors)
            result = replace(result, scores=scores, label_set=sure)
        return {**result.to_dict(), "video": video, "warnings": warnings}

    async def embed(self, received: Received, asked: EmbedRequest) -> dict[str, Any]:
        """The unit vector of a video.

        Raises:
            RequestError: for what cannot be answered.
        """
        views = asked.views(self.recognizer.config, self.settings)
        result, encoded, video = await self.encoded(received, asked, views)
        vector = None
        if encoded is not None:
            mean = encoded.embedding.mean(dim=0)
            vector = (mean / mean.norm()).tolist()
        return {**result.to_dict(), "video": video, "embedding": vector}

    async def timeline(self, received: Received, asked: TimelineRequest) -> dict[str, Any]:
        """When the labels happen in a video that was sent, or in one that is kept.

        Raises:
            RequestError: for what cannot be answered.
        """
        rules, wording = asked.rules, self.words.wording(asked)
        question, warnings = await self.question(wording, None)
        film, video = await self.film(received, asked)
        result = await self._score(film.ask, question, multi_label=asked.multi_label, rules=rules)
        return {**result.to_dict(scores=True), "video": video, "warnings": warnings}

    async def film(self, received: Received, asked: TimelineRequest) -> tuple[Watched, str | None]:
        """A video seen from beginning to end, now or before, and its id.

        What `classify` needs is looked at too, so that the same id serves for both.

        Raises:
            RequestError: for a video that is not there, or was not seen in these windows.
        """
        upload, key = received.upload, (asked.window, asked.stride)
        if upload is None:
            kept = self._named(asked)
            if key not in kept.films:
                raise other_frames("window and stride")
            film, kept.views = kept.films[key], Views.of(self.recognizer.config)
            return replace(film, source=asked.source(kept.name)), kept.id
        self._check_one(asked)
        source, views = asked.source(received.name), Views.of(self.recognizer.config)
        encoded = self._known(upload.digest, views)
        before = self.kept.find(upload.digest, lambda video: key in video.films)
        if before is not None:
            film = replace(before.films[key], source=source)
        else:
            async with self.place():
                if encoded is None:
                    _, encoded = await self._see(Source(source, upload.path), views)
                film = await self._watch(Source(source, upload.path), *key)
        if not film.windows.ending.status.usable or not asked.keep:
            return film, None

        def add(video: KeptVideo) -> None:
            video.films[key] = film
            if encoded is not None:
                video.encoded[views] = encoded
            video.views = views

        kept = self.kept.keep(upload.digest, add, source)
        return film, None if kept is None else kept.id

    async def _watch(self, source: Source, window: float, stride: float) -> Watched:
        """See a whole film."""
        watch = self.recognizer.watch
        try:
            return await while_wanted(
                self._films,
                lambda heed: watch(source, window=window, stride=stride, seen=lambda *_: heed()),
            )
        except ActionCLIPError as error:
            raise wrong(error) from None

    @property
    def library(self) -> "Library":
        """What can be searched.

        Raises:
            RequestError: 404 when there is nothing.
        """
        if self._library is None:
            raise RequestError(
                404,
                "no_index",
                "This service was started without an index.",
                hint="Make one with actionclip index, and name it: actionclip serve --index FOLDER",
            )
        return self._library

    @property
    def indexed(self) -> str | None:
        """The place of the index."""
        return None if self._library is None else self._library.place

    async def index_opens(self) -> bool | None:
        """Whether the index can be read now; None where there is none."""
        library = self._library
        return None if library is None else await asyncio.to_thread(lambda: library.opens)

    async def search(self, asked: SearchRequest) -> dict[str, Any]:
        """Moments in the index.

        Raises:
            RequestError: for what cannot be answered.
        """
        library = self.library
        async with self.place():
            moments = await self._run(self._sentences, library.search, asked.query, asked.top)
        return {"query": asked.query, "moments": moments}

    async def picture(self, id: str, time: float) -> bytes:
        """A frame of an indexed file as JPEG.

        Raises:
            RequestError: for a file or a time that there is not.
        """
        library = self.library
        async with self.place():
            return await while_wanted(self._decoding, lambda heed: library.picture(id, time, heed))

    def frames(self, id: str) -> list[Thumbnail]:
        """Pictures of the frames of a kept video.

        Raises:
            RequestError: 404 for one that is not there.
        """
        return self.kept.get(id).frames

    async def question(
        self, wording: Wording, threshold: float | None
    ) -> tuple[Question, list[str]]:
        """The labels as vectors, and sentences about what is wrong with them."""

        def ask(heed: Heed) -> tuple[Question, list[str]]:
            question = self.words.question(wording, threshold, heed)
            return question, self.words.warnings(wording, question)

        if not self.words.missing(wording):
            return await self._score(ask, lambda: None)
        async with self.place():
            return await while_wanted(self._sentences, ask)

    async def encoded(
        self, received: Received, asked: Asked, views: Views
    ) -> tuple[VideoResult, Encoded | None, str | None]:
        """What the model saw of a video, new or kept: the result without scores, and its id.

        Raises:
            RequestError: for a video that is not there, or not in these views.
        """
        upload = received.upload
        if upload is None:
            return self._again(asked, views)
        self._check_one(asked)
        source = asked.source(received.name)
        encoded = self._known(upload.digest, views)
        if encoded is None:
            async with self.place():
                result, encoded = await self._see(Source(source, upload.path), views)
            if encoded is None:
                return result, None, None
        result = replace(encoded.result, source=source)
        if not asked.keep:
            return result, encoded, None

        def add(video: KeptVideo) -> None:
            video.encoded[views], video.views = encoded, views

        kept = self.kept.keep(upload.digest, add, source)
        return result, encoded, None if kept is None else kept.id

    def _known(self, digest: str, views: Views) -> Encoded | None:
        """What the model saw of a content, by whatever name it came."""
        video = self.kept.find(digest, lambda video: views in video.encoded)
        return None if video is None else video.encoded[views]

    def _again(self, asked: Asked, views: Views) -> tuple[VideoResult, Encoded, str]:
        """A video that is kept."""
        video = self._named(asked)
        encoded = video.encoded.get(views)
        if encoded is None:
            raise other_frames("frames, windows, spacing and crops")
        video.views = views
        source = asked.source(video.name)
        return replace(encoded.result, source=source), encoded, video.id

    def _named(self, asked: Asked) -> KeptVideo:
        """The video that a request without a file is about."""
        if asked.video is None:
            raise RequestError(
                400,
                "request",
                "There is no video.",
                hint="Send a file, or the `video` of an earlier answer.",
            )
        return self.kept.get(asked.video)

    @staticmethod
    def _check_one(asked: Asked) -> None:
        if asked.video is not None:
            raise RequestError(
                400, "request", "There is a file, and `video` names one.", hint="Send one of them."
            )

    async def _see(self, source: Source, views: Views) -> tuple[VideoResult, Encoded | None]:
        """Decode a file and encode what came."""
        encoder, precision = self.recognizer.encoder, self.recognizer.precision
        async with self._ahead:
            self._coming += 1
            try:
                clip = await while_wanted(
                    self._decoding, lambda heed: encoder.read(source, views, heed=heed)
                )
            finally:
                self._coming -= 1
            result = VideoResult.of(clip, [], precision, keep=False)
            if not clip.status.usable:
                return result, None
            vectors = asyncio.wrap_future(self.batcher.encode(clip, views))
            pictures = await self._run(self._decoding, thumbnails, clip)
            return result, Encoded(result, await vectors, pictures)

    async def explain(self, work: Callable[[Heed], T]) -> T:
        """Something long that nobody else has to wait for."""
        async with self.place():
            return await while_wanted(self._explanations, work)

    async def _score(self, work: Callable[..., T], *args: object, **options: object) -> T:
        """Something short, in turn."""
        async with self._turn:
            return await self._run(self._scoring, work, *args, **options)

    @staticmethod
    async def _run(
        pool: ThreadPoolExecutor, work: Callable[..., T], *args: object, **options: object
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            pool, lambda: work(*args, **options)
        )


def other_frames(what: str) -> RequestError:
    """The error for a kept video of which something else is known."""
    return RequestError(
        409,
        "other_frames",
        "Of this video other frames were looked at.",
        hint=f"Send it again, or ask with the {what} of then.",
    )
