"""Width and height of a picture in a data URL, from the file's first bytes. For estimates: nothing else is checked."""

import binascii
import struct
from base64 import b64decode
from collections.abc import Iterator

_HEAD_CHARACTERS = 65_536
"""Of base64, in which nearly every file names its size; a JPEG with a long profile before it is decoded whole."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD9)))

Pixels = tuple[int, int]


def data_url_size(url: str) -> Pixels | None:
    """Pixels of the PNG, JPEG, WebP or GIF in the URL; None for another kind of URL or file, and for a damaged one."""
    if not url.startswith("data:"):
        return None
    comma = url.find(",")
    if comma < 0 or not url[:comma].endswith(";base64"):
        return None
    head = _decoded(url[comma + 1 : comma + 1 + _HEAD_CHARACTERS])
    size = _size(head)
    if size is None and head.startswith(b"\xff\xd8") and len(url) > comma + 1 + _HEAD_CHARACTERS:
        size = _size(_decoded(url[comma + 1 :]))
    return size if size is not None and min(size) > 0 else None


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text[: len(text) - len(text) % 4])
    except (binascii.Error, ValueError):
        return b""


def _size(data: bytes) -> Pixels | None:
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", data, 16)
            return width, height
        if data.startswith((b"GIF87a", b"GIF89a")):
            width, height = struct.unpack_from("<HH", data, 6)
            return width, height
        if data.startswith(b"\xff\xd8"):
            return next(_jpeg_frames(data), None)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):
        return None
    return None


def _jpeg_frames(data: bytes) -> Iterator[Pixels]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE_MARKERS:
            at += 2
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            yield width, height
            return
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]


def _webp(data: bytes) -> Pixels | None:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        wide, high = data[24:27], data[27:30]
        return (int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1) if len(high) == 3 else None
    return None
