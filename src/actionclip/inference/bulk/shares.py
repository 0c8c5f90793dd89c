"""A list of videos shared out over machines that do not know of each other."""

import re
import zlib
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from actionclip.errors import ActionCLIPError

if TYPE_CHECKING:
    from actionclip.video.sources import Source


def share_of(sources: "Sequence[Source]", share: str) -> "list[Source]":
    """The videos of one machine of several, in order.

    A video belongs to the same share whatever else is in the list and wherever the disk is
    mounted: a hash of its file, its folder's name and its stretch decides. So each is in one share,
    also where a machine starts later and sees more of them. Shares are about equally large.

    Args:
        sources: all of them.
        share: `I/N`: share I of N, from 1 on.

    Raises:
        ActionCLIPError: for anything else.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", share.strip())
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise ActionCLIPError(
            f"The share is {share!r}.",
            expected="I/N was expected, as in 1/4 to 4/4 on four machines.",
        )
    return [source for source in sources if _place(source) % count == number - 1]


def take_share(sources: "Sequence[Source]", share: str) -> "list[Source]":
    """The same, for a machine that has to have something to do.

    Raises:
        ActionCLIPError: also for a share without videos.
    """
    found = share_of(sources, share)
    if not found:
        raise ActionCLIPError(
            f"None of the {len(sources)} videos is in share {share}.",
            expected="A hash shares them out, so a short list may leave a share empty.",
            hint="Take fewer shares.",
        )
    return found


def _place(source: "Source") -> int:
    named = "/".join(PurePath(source.path).parts[-2:])
    stretch = f"{source.start}-{source.end}"
    return zlib.crc32(f"{named}#{stretch}".encode("utf-8", "surrogateescape"))
