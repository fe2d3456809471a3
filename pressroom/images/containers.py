"""Picture files from the outside: format, size and wholeness, read from the bytes without decoding a pixel.

Nothing here allocates memory by what a header claims, so it is safe on anything; the decoder only sees what has passed.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pressroom.images.errors import BadPicture, Flaw

PictureFormat = Literal["png", "jpeg", "webp"]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = b"\xff\xda"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD8)))
_WEBP_ANIMATION_FLAG = 0x02


@dataclass(frozen=True, slots=True)
class Container:
    """What the file says of itself; sizes in pixels, as stored (no orientation tag is applied)."""

    format: PictureFormat
    width: int
    height: int

    @property
    def content_type(self) -> str:
        """The MIME type to store and serve it with."""
        return f"image/{self.format}"


def read_container(data: bytes) -> Container:
    """Format and stored size of a whole PNG, JPEG or WebP still.

    Raises BadPicture: unknown_format, animated, or damaged (cut off, a PNG checksum that is off, a size of nothing).
    """
    for recognises, read in _READERS:
        if recognises(data):
            try:
                container = read(data)
            except (struct.error, IndexError) as error:
                raise BadPicture(Flaw.DAMAGED, "the file ends in the middle of its header") from error
            if container.width < 1 or container.height < 1:
                raise BadPicture(Flaw.DAMAGED, f"the header says {container.width}x{container.height} pixels")
            return container
    raise BadPicture(Flaw.UNKNOWN_FORMAT, f"not a PNG, JPEG or WebP picture (the first bytes are {data[:12]!r})")


def _read_png(data: bytes) -> Container:
    """Walk the chunks to IEND, checking the checksum of each: the decoder skips those of the pixel data."""
    if data[12:16] != b"IHDR":
        raise BadPicture(Flaw.DAMAGED, "the PNG does not start with its header chunk")
    width, height = struct.unpack_from(">II", data, 16)
    view, position = memoryview(data), len(_PNG_SIGNATURE)
    while True:
        if position + 12 > len(data):
            raise BadPicture(Flaw.DAMAGED, f"the PNG is cut off after {len(data)} bytes")
        (length,) = struct.unpack_from(">I", data, position)
        kind, end = data[position + 4 : position + 8], position + 8 + length
        if end + 4 > len(data):
            raise BadPicture(Flaw.DAMAGED, f"the PNG is cut off after {len(data)} bytes, inside a {kind!r} chunk")
        if struct.unpack_from(">I", data, end)[0] != zlib.crc32(view[position + 4 : end]):
            raise BadPicture(Flaw.DAMAGED, f"the checksum of the PNG's {kind!r} chunk at byte {position} is wrong")
        if kind == b"acTL":
            raise BadPicture(Flaw.ANIMATED, "the PNG is animated")
        if kind == b"IEND":
            return Container("png", width, height)
        position = end + 4


def _read_jpeg(data: bytes) -> Container:
    """Walk the segments to the frame header, and look for the end marker, which pixel data cannot contain."""
    position = 2
    while True:
        if data[position] != 0xFF:
            raise BadPicture(Flaw.DAMAGED, f"the JPEG has no marker at byte {position}")
        marker = data[position + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            break
        if marker in (0xD9, 0xDA):
            raise BadPicture(Flaw.DAMAGED, "the JPEG has no frame header before its pixels")
        if marker == 0xFF:  # padding before a marker
            position += 1
        elif marker in _JPEG_BARE_MARKERS:
            position += 2
        else:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    if data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN, position):
        raise BadPicture(Flaw.DAMAGED, f"the JPEG is cut off after {len(data)} bytes")
    return Container("jpeg", width, height)


def _read_webp(data: bytes) -> Container:
    """The size from the first chunk, in each of WebP's three shapes. Offsets: the WebP container specification."""
    claimed = 8 + struct.unpack_from("<I", data, 4)[0]
    if claimed > len(data):
        raise BadPicture(Flaw.DAMAGED, f"the WebP is cut off after {len(data)} of {claimed} bytes")
    kind = data[12:16]
    if kind == b"VP8X":
        if data[20] & _WEBP_ANIMATION_FLAG:
            raise BadPicture(Flaw.ANIMATED, "the WebP is animated")
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)
        return Container("webp", 1 + low_width + (high_width << 16), 1 + low_height + (high_height << 16))
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Container("webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Container("webp", width & 0x3FFF, height & 0x3FFF)
    raise BadPicture(Flaw.DAMAGED, f"the WebP starts with an unknown chunk {kind!r}")


_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Container]], ...] = (
    (lambda data: data.startswith(_PNG_SIGNATURE), _read_png),
    (lambda data: data.startswith(_JPEG_SIGNATURE), _read_jpeg),
    (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", _read_webp),
)
