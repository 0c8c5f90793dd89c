"""The index that a service answers from: moments by words, and the files they are in."""

import hashlib
import io
from pathlib import Path
from typing import Any

from PIL import Image

from actionclip.encoding.encoder import Views
from actionclip.errors import ActionCLIPError
from actionclip.inference.recognizer import Recognizer
from actionclip.inference.search.index import Index, no_index
from actionclip.serving.answers import RequestError, wrong
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
        self._paths: dict[str, Path] = {}

    def __len__(self) -> int:
        """Windows in it."""
        return len(self._index)

    def search(self, query: str, top: int) -> list[dict[str, Any]]:
        """Moments, best first, each with the `file` that it can be had by.

        Raises:
            RequestError: for a query that cannot be used.
        """
        try:
            moments = self._index.search(query, top)
        except ActionCLIPError as error:
            raise wrong(error) from None
        return [{**moment.to_dict(), "file": self._id(moment.source)} for moment in moments]

    def file(self, id: str) -> Path:
        """The file of an id that `search` gave.

        Raises:
            RequestError: 404 for another id, or a file that is gone.
        """
        if id not in self._paths:  # asked of another process before, or made up
            for entry in self._index.files():
                self._id(entry.path)
        path = self._paths.get(id)
        if path is None or not path.is_file():
            raise RequestError(404, "not_found", "The index has no such file, or it is gone.")
        return path

    def picture(self, id: str, time: float) -> bytes:
        """A frame of a file as JPEG, decoded by the workers.

        Raises:
            RequestError: 404 for another id, 422 for a file that cannot be read there.
        """
        path, start = self.file(id), max(time - SPAN / 2, 0)
        source = Source(path.name, path, start=start, end=start + SPAN)
        clip = self._recognizer.encoder.read(source, PICTURE)
        if clip.frames is None:
            raise RequestError(422, str(clip.status), clip.message, hint=clip.hint)
        file = io.BytesIO()
        Image.fromarray(clip.frames[0]).save(file, "JPEG", quality=80)
        return file.getvalue()

    def _id(self, path: str) -> str:
        id = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        self._paths[id] = Path(path)
        return id
