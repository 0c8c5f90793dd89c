"""A model that answers: videos and words in, scored labels out.

D embedding width, N videos, K sentences.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import torch
from jaxtyping import Float
from torch import Tensor

from actionclip.encoding.asking import question_of
from actionclip.encoding.encoder import Decoder, Encoded, Video, VideoEncoder, Views
from actionclip.encoding.questions import Question
from actionclip.inference.embeddings import EmbeddedVideo
from actionclip.inference.explain.explaining import explain_clip
from actionclip.inference.explain.explanation import Explanation
from actionclip.inference.precision import choose_precision, precision_of, set_precision
from actionclip.inference.results import VideoResult
from actionclip.inference.stream.watching import Stream
from actionclip.inference.stream.watching import watch as watch_live
from actionclip.inference.timeline.result import Seen, TimelineResult, Watched, find, watch
from actionclip.inference.timeline.segments import Rules
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.config import ModelConfig
from actionclip.model.scoring import Score, check_answer
from actionclip.video.settings import Limits

Labels: TypeAlias = Sequence[str] | str | Path | Question | None


class Recognizer:
    """Classifies and embeds videos with one model.

    Decoding happens in worker processes that start with the first file and stop with `close()`,
    at the end of a `with` block, or with the program.
    """

    def __init__(
        self,
        model: ActionCLIP,
        *,
        precision: str = "fp32",
        workers: int | None = None,
        limits: Limits | None = None,
        decoder: Decoder = "pyav",
    ) -> None:
        self.model = set_precision(model, choose_precision(precision, model)).eval()
        self.origin: str | None = None
        """What `load` was asked for."""
        self.encoder = VideoEncoder(self.model, workers=workers, limits=limits, decoder=decoder)

    @property
    def config(self) -> ModelConfig:
        """What decides the scores: the model folder's settings."""
        return self.model.config

    @property
    def precision(self) -> Literal["fp32", "bf16"]:
        """What the image tower multiplies in; the results say the same."""
        return precision_of(self.model)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.model.device

    @overload
    def classify(
        self, video: Video, labels: Labels, *, top_k: int | None = 5, **options: Any
    ) -> list[Score]: ...

    @overload
    def classify(
        self, video: Sequence[Video], labels: Labels, *, top_k: int | None = 5, **options: Any
    ) -> list[list[Score]]: ...

    def classify(
        self,
        video: Video | Sequence[Video],
        labels: Labels,
        *,
        top_k: int | None = 5,
        **options: Any,
    ) -> list[Score] | list[list[Score]]:
        """Which of the labels a video shows, best first.

        Args:
            video: a file, a folder of frames, or frames as uint8 [T, H, W, 3] (RGB); or a list of
                these.
            labels: the words to choose from; or text: words between commas, a file, the name of a
                built-in set such as `kinetics400`; None: the labels the model was trained on.
            top_k: how many labels to return; None for all.
            options: as for `question` (templates, descriptions, ensemble, reject, threshold,
                clean_labels) and `results` (frames, windows, spacing, crops).

        Returns:
            The scores; for a list of videos a list of them, empty (with a warning) for a video that
            cannot be read.

        Raises:
            VideoError: for a single video that gives no frames.
            ActionCLIPError: for labels or options we cannot use.
        """
        many, videos = _listed(video)
        answers = []
        for result in self.results(videos, labels, top_k=top_k, keep_clips=True, **options):
            if not result.status.usable:
                if not many and result.clip is not None:
                    result.clip.raise_for_status()
                warnings.warn(f"{result.source}: {result.message} {result.hint}", stacklevel=2)
            answers.append(result.scores)
        return answers if many else answers[0]

    def question(self, labels: Labels, **options: Any) -> Question:
        """The labels as the model sees them: encoded once, usable for many videos.

        Args:
            labels: as for `classify`.
            options: `templates` (sentences with {}), `descriptions` ({label: [sentences]}),
                `ensemble` ("scores" or "embeddings"), `reject` (competing labels, reported together
                as *none of these*), `threshold` (labels below it are not reported; replaces the
                calibrated one), `clean_labels`, `calibrated` (False: scores as without
                `actionclip calibrate`). A question that was made already takes none.

        Raises:
            ActionCLIPError: for labels or options we cannot use.
        """
        return question_of(self.model, labels, **options)

    def results(
        self,
        videos: Video | Iterable[Video],
        labels: Labels,
        *,
        top_k: int | None = 5,
        frames: int | None = None,
        windows: int | None = None,
        spacing: float | None = None,
        crops: Literal[1, 3] | None = None,
        batch_size: int | None = None,
        keep_clips: bool = False,
        **options: Any,
    ) -> Iterator[VideoResult]:
        """One result for each video, in order, as they come; a bad video is a result, not an error.

        Args:
            videos: as for `classify`, one or many; may be a generator, which is read as needed.
            labels: as for `classify`.
            top_k: how many labels to report; None for all.
            frames: frames in a window, in place of the model's own setting.
            windows: temporal views of a video.
            spacing: seconds between frames, in place of frames spread over the whole video.
            crops: 1 or 3 spatial views.
            batch_size: videos encoded at a time.
            keep_clips: whether a result keeps its frames, for plots.
            options: as for `question`.

        Raises:
            ActionCLIPError: for labels or options we cannot use, before the first video is opened.
        """
        check_answer(top_k=top_k)
        views = Views.of(self.config, frames=frames, windows=windows, spacing=spacing, crops=crops)
        encoded = self.encoder.encode(videos, views, batch_size=batch_size)
        return self._results(encoded, self.question(labels, **options), top_k, keep_clips)

    def _results(
        self, encoded: Iterable[Encoded], question: Question, top_k: int | None, keep_clips: bool
    ) -> Iterator[VideoResult]:
        precision = self.precision
        for clip, embedding in encoded:
            scores = [] if embedding is None else question.scores(embedding, top_k=top_k)
            sure = None if embedding is None else question.label_set(embedding)
            yield VideoResult.of(clip, scores, precision, keep=keep_clips, label_set=sure)

    def explain(
        self,
        video: Video,
        labels: Labels,
        *,
        between: tuple[float, float] | None = None,
        label: str | None = None,
        against: str | None = None,
        maps: str = "auto",
        leave_out: bool = True,
        frames: int | None = None,
        windows: int | None = None,
        spacing: float | None = None,
        crops: Literal[1, 3] | None = None,
        **options: Any,
    ) -> Explanation:
        """Why a video is classified as it is: which frames, where in them, which sentence.

        Args:
            video: one video, as for `classify`.
            labels: as for `classify`.
            between: the seconds of the file where the part that is meant begins and ends, such as
                `TimelineResult.peak` gives; None: all of it.
            label: what is explained; None: the best label.
            against: what it is compared with; None: the best of the others.
            maps: `locations`, `patches`, `rollout` or `occlusion`; `auto`: what the tower gives at
                no cost, else `occlusion`; `none`.
            leave_out: whether to ask what the score is without each frame.
            frames: as for `results`, like `windows`, `spacing` and `crops`.
            windows: temporal views; None: the model's own, or as many as a part needs.
            spacing: seconds between frames.
            crops: 1 or 3 spatial views.
            options: as for `question`.

        Raises:
            VideoError: for a video, or a part of it, that gives no frames.
            ActionCLIPError: for labels or options we cannot use.
        """
        question = self.question(labels, **options)
        views = Views.of(self.config, frames=frames, windows=windows, spacing=spacing, crops=crops)
        if between is not None:
            covering = views.covering(between)
            views = covering if windows is None else views
        [clip] = self.encoder.clips([video], views, between)
        return explain_clip(
            self.model,
            clip,
            question,
            views,
            label=label,
            against=against,
            maps=maps,
            leave_out=leave_out,
        )

    def embeddings(
        self,
        videos: Video | Iterable[Video],
        *,
        frames: int | None = None,
        windows: int | None = None,
        spacing: float | None = None,
        crops: Literal[1, 3] | None = None,
        batch_size: int | None = None,
    ) -> Iterator[EmbeddedVideo]:
        """A unit vector for each video (the mean over its views), in order, as they come.

        A bad video is a result without a vector, not an error. Arguments as for `results`.

        Raises:
            ActionCLIPError: for options we cannot use, before the first video is opened.
        """
        views = Views.of(self.config, frames=frames, windows=windows, spacing=spacing, crops=crops)
        return self._embeddings(self.encoder.encode(videos, views, batch_size=batch_size))

    def _embeddings(self, encoded: Iterable[Encoded]) -> Iterator[EmbeddedVideo]:
        precision = self.precision
        for clip, views_embedding in encoded:
            # a clip that was read is let go: there may be thousands
            result = VideoResult.of(clip, [], precision, keep=views_embedding is None)
            mean = None if views_embedding is None else views_embedding.mean(dim=0)
            yield EmbeddedVideo(
                result, None if mean is None else torch.nn.functional.normalize(mean, dim=0)
            )

    def embed_video(
        self, video: Video | Sequence[Video], **options: Any
    ) -> Float[Tensor, " D"] | Float[Tensor, "N D"]:
        """Unit vectors for a video or a list of videos.

        Args:
            video: as for `classify`.
            options: `frames`, `windows`, `spacing`, `crops` and `batch_size`, as for `results`.

        Raises:
            VideoError: for a video that gives no frames.
            ActionCLIPError: for options we cannot use.
        """
        many, videos = _listed(video)
        rows = []
        for row in self.embeddings(videos, **options):
            if row.embedding is None and row.result.clip is not None:
                row.result.clip.raise_for_status()
            assert row.embedding is not None
            rows.append(row.embedding)
        if not videos:
            return torch.zeros(0, self.model.backbone.embed_dim)
        return torch.stack(rows) if many else rows[0]

    def watch(
        self, video: Video, *, window: float = 2.0, stride: float = 0.5, seen: Seen | None = None
    ) -> Watched:
        """See a film once, so that `timeline` can be asked again and again with other labels.

        Args:
            video: as for `timeline`.
            window: seconds that are judged together.
            stride: seconds from one window to the next.
            seen: called now and then with the seconds read so far and those promised (or None).

        Raises:
            ActionCLIPError: for a window or stride that is not above zero.
        """
        return watch(
            self.model,
            video,
            window=window,
            stride=stride,
            precision=self.precision,
            limits=self.encoder.limits,
            seen=seen,
        )

    def timeline(
        self,
        video: Video | Watched,
        labels: Labels,
        *,
        window: float | None = None,
        stride: float | None = None,
        multi_label: bool = False,
        rules: Rules | None = None,
        seen: Seen | None = None,
        **options: Any,
    ) -> TimelineResult:
        """When the labels happen in a video, however long it is.

        Args:
            video: a file, a folder of frames, frames as uint8 [T, H, W, 3] (RGB), or what `watch`
                gave.
            labels: as for `classify`. Where none of them fits there is no segment.
            window: seconds that are judged together; None: 2, or those of `watch`.
            stride: seconds from one window to the next; None: 0.5, or those of `watch`.
            multi_label: whether several labels may hold at the same time.
            rules: smoothing, thresholds and lengths of segments.
            seen: as for `watch`.
            options: as for `question`; `threshold` is the `enter` of `rules`.

        Returns:
            The segments; for a video that cannot be read none, and the reason in `status`.

        Raises:
            ActionCLIPError: for labels or options we cannot use.
        """
        question = self.question(labels, **options)
        if question.threshold is not None:
            rules = (rules or Rules()).entering_at(question.threshold)
        if isinstance(video, Watched):
            video.check(window=window, stride=stride)
            return video.ask(question, multi_label=multi_label, rules=rules)
        return find(
            self.model,
            video,
            question,
            multi_label=multi_label,
            rules=rules,
            window=2.0 if window is None else window,
            stride=0.5 if stride is None else stride,
            precision=self.precision,
            limits=self.encoder.limits,
            seen=seen,
        )

    def embed_text(self, texts: str | Sequence[str]) -> Float[Tensor, "K D"]:
        """Unit vectors for sentences, exactly as given: no template, no cleaning."""
        sentences = [texts] if isinstance(texts, str) else list(texts)
        with torch.no_grad():  # not inference_mode: what is trained on top may start from these
            return self.model.encode_text(sentences).cpu()

    def stream(self, source: str | Path | int, labels: Labels, **options: Any) -> Stream:
        """Watch a camera, a stream or a file at its own pace: a rolling label, as an iterator.

        Args:
            source: a camera's number; `http://`, `https://` or `rtsp://` with `allow_network=True`;
                `-` for standard input; or a file.
            labels: as for `classify`; `Stream.set_labels` changes them while it runs.
            options: those of `actionclip.inference.stream.watch` and of `question`; `limits` are
                the recognizer's own unless others are given.

        Raises:
            ActionCLIPError: for a source, labels or options we cannot use.
        """
        options["limits"] = options.get("limits") or self.encoder.limits
        return watch_live(self.model, source, labels, **options)

    def close(self) -> None:
        """Stop the decoding workers."""
        self.encoder.close()

    def __enter__(self) -> "Recognizer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _listed(video: Video | Sequence[Video]) -> tuple[bool, Sequence[Video]]:
    """Whether several videos were given, and the videos as a list."""
    if isinstance(video, (list, tuple)):
        return True, video
    return False, [video]  # type: ignore[list-item]
