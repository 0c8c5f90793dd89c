"""A form with several parts, taken apart as it comes (`multipart/form-data`).

The grammar is python-multipart's. Here is what is allowed: fields, and one file, whose bytes are
handed on and never gathered.
"""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from actionclip.serving.answers import RequestError, too_large
from actionclip.serving.settings import ServeConfig

MOST_HEADERS = 8
LONGEST_HEADER = 4096


class Parts:
    """The parts of one body.

    Args:
        content_type: the header, with the mark between the parts.
        settings: how many parts there may be, and how large the fields.

    Raises:
        RequestError: 400 for a header without a usable mark.
    """

    def __init__(self, content_type: str, settings: ServeConfig) -> None:
        self.fields: list[tuple[str, str]] = []
        self.name = ""
        self._settings = settings
        self._count = self._text = 0
        self._header, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._field: tuple[str, bytearray] | None = None
        self._files = 0
        self._pieces: list[bytes] = []
        self._done = False
        _, options = parse_options_header(content_type)
        try:
            self._parser = MultipartParser(
                options.get(b"boundary", b""),
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._name_part,
                    "on_header_value": self._value_part,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
                max_header_count=MOST_HEADERS,
                max_header_size=LONGEST_HEADER,
            )
        except FormParserError as error:
            raise _broken(str(error)) from None
        if not options.get(b"boundary"):
            raise _broken("it names no boundary")

    def feed(self, data: bytes) -> list[bytes]:
        """Some more of the body; the bytes of the file in it.

        Raises:
            RequestError: 400 for what is no such form, 413 for too many parts or too much text.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _broken(str(error)) from None
        pieces, self._pieces = self._pieces, []
        return pieces

    def end(self) -> None:
        """The body is over.

        Raises:
            RequestError: 400 when the form is not.
        """
        if not self._done:
            raise _broken("it ends in the middle")

    def _begin(self) -> None:
        self._count += 1
        self._headers = {}
        if self._count > self._settings.max_parts:
            raise RequestError(
                413,
                "too_many_parts",
                f"The form has more than {self._settings.max_parts} parts.",
                hint="Send one file and one field with all labels: labels=running,clapping",
            )

    def _name_part(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _value_part(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        kind, options = parse_options_header(disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise _broken("a part has no name")
        if b"filename" not in options:
            self._field = (name, bytearray())
            return
        self._field = None
        self._files += 1
        self.name = options[b"filename"].decode("utf-8", "replace")
        if self._files > 1:
            raise RequestError(
                400,
                "request",
                "There is more than one file in the form.",
                hint="Send a request for each video; they are worked on together.",
            )
        self._pieces.append(b"")  # an empty file is a file too

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._pieces.append(data[start:end])
            return
        self._text += end - start
        if self._text > self._settings.max_text:
            raise too_large("The text of the form", self._settings.max_text)
        self._field[1].extend(data[start:end])

    def _end(self) -> None:
        if self._field is not None:
            name, value = self._field
            self.fields.append((name, value.decode("utf-8", "replace")))
            self._field = None

    def _finish(self) -> None:
        self._done = True


def _broken(why: str) -> RequestError:
    return RequestError(
        400,
        "request",
        f"The body is no multipart form: {why}.",
        hint="Let a library write it, or: curl -F file=@clip.mp4 -F labels=running,clapping",
    )
