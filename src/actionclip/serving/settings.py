"""What the service allows itself and others."""

import ipaddress
from pathlib import Path

from actionclip.config import config
from actionclip.errors import ActionCLIPError

MIB = 2**20


@config
class ServeConfig:
    """Where the service listens, and what a request may cost."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any that is free."""
    token: str | None = None
    """What a client has to know. None: nothing on loopback, and a drawn one elsewhere."""
    allow_hosts: tuple[str, ...] = ()
    """Further names for this machine that a request may carry in its header `Host`."""
    max_upload: int = 2048 * MIB
    """Bytes of one video."""
    max_spool: int = 8192 * MIB
    """Bytes on disk of all videos that are arriving or waiting."""
    queue: int = 64
    """Videos that wait or are worked on; the next one is refused with 429."""
    keep_memory: int = 16 * MIB
    """Bytes of embeddings and thumbnails kept for asking again. Of many small videos the process
    grows by up to twice as much."""
    keep_seconds: float = 600.0
    """How long they are kept after they were last asked for."""
    patience: float = 10.0
    """Seconds a sender may be silent, and seconds for the headers of a request. After three times
    as many a sender has to have been faster than `slowest` on average."""
    slowest: int = 16 * 1024
    """Bytes a second."""
    max_parts: int = 64
    """Parts of a multipart body."""
    max_text: int = MIB
    """Bytes of all that is not the video: fields, or a JSON body."""
    max_labels: int = 2000
    max_sentences: int = 32_000
    """Labels times templates."""
    max_frames: int = 512
    """Frames of one video that the model is asked to see, all windows and crops together."""
    index: str | None = None
    """Where the index is that `/search` answers from."""
    folder: Path | None = None
    """Where uploads lie while they are worked on; None: the system's place for such files."""
    shutdown: float = 30.0
    """Seconds that running requests get when the service is told to stop."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        if not 0 <= self.port <= 65535:
            raise ActionCLIPError(f"The port is {self.port}.", expected="It must be 0 to 65535.")
        for name in ("max_upload", "queue", "max_parts", "max_labels"):
            if getattr(self, name) < 1:
                raise ActionCLIPError(
                    f"{name} is {getattr(self, name)}.", expected="It must be 1 or more."
                )
        token = self.token
        if token is not None and (len(token) < 8 or not _can_be_sent(token)):
            raise ActionCLIPError(
                "The token is too short, or cannot be sent in a header as it is.",
                expected="8 characters or more: ASCII, without line ends, no space at either end.",
                hint="Leave it out, and one is drawn and shown.",
            )

    @property
    def on_loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _can_be_sent(token: str) -> bool:
    return token.isascii() and token.isprintable() and token == token.strip()
