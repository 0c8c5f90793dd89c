"""What is answered when something is wrong: a status, and the same `error` object everywhere."""

from typing import Any

from actionclip.errors import ActionCLIPError


class RequestError(Exception):
    """A request that gets no answer but this one."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str = "", wait: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.headers = {} if wait is None else {"Retry-After": str(max(1, round(wait)))}

    @property
    def body(self) -> dict[str, Any]:
        """As JSON says it."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


def wrong(error: ActionCLIPError, code: str = "request") -> RequestError:
    """A user's mistake that Python would have raised."""
    message = " ".join(part for part in (error.what, error.expected) if part)
    return RequestError(400, code, message, hint=error.hint)


def too_large(what: str, limit: int, hint: str = "Send less.") -> RequestError:
    """Something arrives that is larger than it may be."""
    return RequestError(
        413, "upload_too_large", f"{what} has more than {limit:,} bytes.", hint=hint
    )


def too_large_video(what: str, limit: int) -> RequestError:
    """A video arrives that is larger than it may be, by itself or in a form."""
    size = f"{limit / 2**20:g} MiB"
    return too_large(what, limit, f"The service takes videos of {size}; --max-upload changes that.")
