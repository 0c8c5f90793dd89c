"""The index that a service answers from: moments by words, and the files they are in."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from actionclip.encoding.encoder import Views
from actionclip.errors import ActionCLIPError, StorageError
from actionclip.figures import legible
from actionclip.inference.recognizer import Recognizer
from actionclip.inference.search.index import Index, no_index
from actionclip.inference.search.rows import file_key
from actionclip.serving.answers import RequestError, wrong
from actionclip.serving.engine.batching import Heed
from actionclip.video.settings import Preprocess, Resize, Sampling
from actionclip.video.sources import Source

PICTURE = Views(Sampling(frames=1), Preprocess(resize=Resize(mode="longest", size=320)))
SPAN = 0.2
"""Seconds from whose middle a picture is taken."""


class Library:
    """An index, opened once. Only files that it knows are given out.

    Args:
        place: its folder or address.
        recognizer: the model, which has to be the one the index was made with.
        name: what that was loaded by.

    Raises:
        ActionCLIPError: when there is none, or it is another model's.
    """

    def __init__(self, place: str, recognizer: Recognizer, name: str) -> None:
        if Index.info(place) is None:
            raise no_index(place)
        self.place = place
        self._recognizer = recognizer
        self._index = Index.open(place, recognizer, model=name)

    def __len__(self) -> int:
        """Windows in it."""
        return len(self._index)

    @property
    def opens(self) -> bool:
        """Whether it is still there and can be read."""
        try:
            self._index.check()
        except ActionCLIPError:
            return False
        return True

    def search(self, query: str, top: int) -> list[dict[str, Any]]:
        """Moments, best first, each with the `file` that it can be had by.

        Raises:
            RequestError: 400 for a query that cannot be used, 503 for an index that cannot.
        """
        with _readable():
            self._index.check()
        try:
            with _readable(StorageError):
                moments = self._index.search(query, top)
        except ActionCLIPError as error:
            raise wrong(error) from None
        return [
            {**moment.to_dict(), "source": legible(moment.source), "file": file_key(moment.source)}
            for moment in moments
        ]

    def file(self, id: str) -> Path:
        """The file of an id that `search` gave.

        Raises:
            RequestError: 404 for another id, for a file that is gone or that is not in the index
                any more, and for a folder of frames; 503 for an index that cannot be read.
        """
        path = self._known(id)
        if path.is_dir():
            raise RequestError(
                404,
                "not_found",
                "This is a folder of frames: there is no file that could be played.",
                hint=f"Its frames are at /index/{id}/frame?time=SECONDS.",
            )
        return path

    def picture(self, id: str, time: float, heed: Heed = lambda: None) -> bytes:
        """A frame of a file, or of a folder of frames, as JPEG, decoded by the workers.

        Args:
            id: of the file.
            time: seconds.
            heed: called now and then meanwhile; what it raises ends the reading.

        Raises:
            RequestError: as `file`; 422 for a file that cannot be read there.
        """
        path, start = self._known(id), max(time - SPAN / 2, 0)
        kind = "frames" if path.is_dir() else "file"
        source = Source(path.name, path, kind, start=start, end=start + SPAN)
        clip = self._recognizer.encoder.read(source, PICTURE, heed=heed)
        if clip.frames is None:
            raise RequestError(422, str(clip.status), clip.message, hint=clip.hint)
        file = io.BytesIO()
        Image.fromarray(clip.frames[0]).save(file, "JPEG", quality=80)
        return file.getvalue()

    def _known(self, id: str) -> Path:
        with _readable():
            self._index.check()
            found = self._index.path_of(id)
        path = None if found is None else Path(found)
        if path is None or not (path.is_file() or path.is_dir()):
            raise RequestError(404, "not_found", "The index has no such file, or it is gone.")
        return path


@contextmanager
def _readable(kind: type[ActionCLIPError] = ActionCLIPError) -> Iterator[None]:
    """What is wrong with the index itself is told to the log, and is no fault of the client."""
    try:
        yield
    except kind as error:
        logging.getLogger(__name__).error("%s", error)
        raise RequestError(
            503,
            "storage",
            "The index of this service cannot be read.",
            hint="Whoever runs the service finds the reason in its log.",
        ) from None
