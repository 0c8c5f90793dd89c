"""A recogniser as an index sees it: films and queries become vectors.

V views of a window, D embedding width.
"""

import hashlib
import itertools
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float

from actionclip.config import to_dict
from actionclip.encoding.film import encode_film
from actionclip.encoding.grid import Grid
from actionclip.encoding.questions import ask
from actionclip.inference.recognizer import Recognizer
from actionclip.inference.search.windows import Span, Windowed
from actionclip.video.film.part import Part
from actionclip.video.film.session import film
from actionclip.video.outcomes import HINTS
from actionclip.video.sources import Source

FORMAT = 2
"""To be raised when the same films and weights give other vectors."""
FILMS_AHEAD = 2
"""Films that are being decoded while one is encoded."""


class ModelEmbedder:
    """What an index asks of a model. See `Embedder` for what the members mean."""

    def __init__(self, recognizer: Recognizer, name: str = "") -> None:
        self.recognizer, self._name = recognizer, name

    @property
    def name(self) -> str:
        """What a user would type to get it."""
        return self._name

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the vectors, but for the window and the stride."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        """Weights, prompts, and the settings of frames; precision does not count.

        Weights are compared as bfloat16, so that a model in `bf16` is the same as in `fp32`; their
        vectors differ by less than windows of one scene do.
        """
        model = self.recognizer.model
        settings = to_dict(model.config)
        kept = {key: settings[key] for key in ("sampling", "preprocess", "prompts")}
        kept["backbone"] = {
            key: settings["backbone"][key] for key in ("architecture", "tokenizer", "motion")
        }
        kept["sampling"].pop("windows")  # an index has windows of its own
        digest = hashlib.sha256(str((FORMAT, kept)).encode())
        for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()]):
            if name.rpartition(".")[2] in ("logit_scale", "logit_bias"):
                continue
            value = tensor.detach().cpu()
            value = value.to(torch.bfloat16) if value.is_floating_point() else value
            data = value.contiguous().reshape(-1).view(torch.uint8).numpy()
            digest.update(f"{name} {tuple(tensor.shape)} {zlib.crc32(data.data)} ".encode())
        return digest.hexdigest()[:40]

    @property
    def dimension(self) -> int:
        """D."""
        return self.recognizer.model.backbone.embed_dim

    @property
    def margin(self) -> float:
        """Where a softmax would say that the neighbour is e times less likely."""
        model = self.recognizer.model
        scale = model.config.scale
        return 1 / (float(model.logit_scale.detach().exp()) if scale is None else scale)

    def windows(self, sources: Iterable[Source], span: Span) -> Iterator[Windowed]:
        """Each film once through the decoder and each frame once through the tower."""
        model, encoder = self.recognizer.model, self.recognizer.encoder
        grid = Grid.of(model.config, window=span.window, stride=span.stride)
        request = grid.request(model.config.preprocess)
        ahead: deque[tuple[Source, Iterator[Part], Future[Part]]] = deque()
        rest = iter(sources)
        with ThreadPoolExecutor(FILMS_AHEAD) as threads:
            try:
                while True:
                    for source in itertools.islice(rest, FILMS_AHEAD - len(ahead)):
                        parts = film(source, request, encoder.limits)
                        ahead.append((source, parts, threads.submit(next, parts)))
                    if not ahead:
                        return
                    source, parts, first = ahead.popleft()
                    yield self._windowed(source, grid, itertools.chain([first.result()], parts))
            finally:
                for _, parts, first in ahead:
                    first.exception()
                    parts.close()  # type: ignore[attr-defined]

    def _windowed(self, source: Source, grid: Grid, parts: Iterator[Part]) -> Windowed:
        model, limits = self.recognizer.model, self.recognizer.encoder.limits
        again = partial(film, source, limits=limits)
        found = encode_film(model, grid, model.config.preprocess, parts, again)
        ending = found.ending
        vectors = F.normalize(found.vectors.float().mean(dim=1), dim=1).numpy()
        hint = HINTS[ending.status] if ending.advice is None else ending.advice
        return Windowed(
            source=source,
            status=ending.status,
            starts=np.asarray(found.start, np.float64),
            ends=np.asarray(found.end, np.float64),
            vectors=vectors,
            message=ending.message,
            hint=hint if ending.message else "",
        )

    def text(self, query: str, templates: Sequence[str] | None) -> Float[np.ndarray, " D"]:
        """The mean over the model's templates, or those given, with the words in them."""
        question = ask(
            self.recognizer.model, [query], templates=templates or None, look_alikes=False
        )
        return F.normalize(question.texts[:, 0].float().mean(dim=0), dim=0).cpu().numpy()

    def clip(self, path: Path) -> Float[np.ndarray, " D"]:
        """The model's own views of a video, their mean."""
        return self.recognizer.embed_video(path).float().numpy()
