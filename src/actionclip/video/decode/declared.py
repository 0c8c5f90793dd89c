"""How large a file says it is; where that is more than there is, its end is missing."""

import os
import struct

_BOXES = frozenset(
    b"ftyp moov mdat moof mfra sidx ssix styp free skip wide pnot udta uuid meta emsg prft".split()
)
"""What may lie outermost in an MP4 file."""


def declared_size(descriptor: int, format_name: str) -> int | None:
    """How many bytes a file says it has, by its outermost boxes; None where it does not say."""
    if format_name == "avi":
        head = os.pread(descriptor, 8, 0)
        # Recorders that never came to the end leave 0 here.
        length = struct.unpack("<I", head[4:])[0] if head[:4] == b"RIFF" else 0
        return length + 8 if 0 < length < 2**32 - 1 else None
    if format_name.startswith("mov"):
        return _boxes_end(descriptor)
    if format_name.startswith("matroska"):
        return _segment_end(descriptor)
    return None


def _boxes_end(descriptor: int, most: int = 10_000) -> int | None:
    """Where the last top-level box of an MP4 file ends."""
    position = 0
    for _ in range(most):
        head = os.pread(descriptor, 16, position)
        if len(head) < 8:
            return position
        if head[4:8] not in _BOXES:  # what a camera or a file system appended
            return position
        length = struct.unpack(">I", head[:4])[0]
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        if length < 8:  # 0: up to the end of the file, whatever that is
            return None
        position += length
    return None


def _segment_end(descriptor: int) -> int | None:
    """Where the segment of a Matroska file ends."""
    head = os.pread(descriptor, 4096, 0)
    start = head.find(b"\x18\x53\x80\x67")
    if start < 0 or len(head) < start + 12:
        return None
    first = head[start + 4]
    width = 9 - first.bit_length()  # leading zeros of the first byte say how long the number is
    if not 1 <= width <= 8:
        return None
    value = int.from_bytes(head[start + 4 : start + 4 + width], "big") & ((1 << 7 * width) - 1)
    unknown = (1 << 7 * width) - 1
    return None if value == unknown else start + 4 + width + value
