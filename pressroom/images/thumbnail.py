"""A picture verified and thumbnailed in one decode: what a worker does with every picture it is sent."""

import hashlib
from dataclasses import dataclass
from io import BytesIO

from PIL.Image import Image, Resampling

from pressroom.images.verify import PictureFacts, check_bounds, decode, describe, fitted

DEFAULT_MAX_SIDE = 128
CONTENT_TYPE = "image/webp"

_QUALITY = 75
_METHOD = 0
"""WebP's effort, 0-6. Measured at 128x128: 2 takes 1.4 times and 4 takes 2.4 times the CPU of 0, for 2 to 10 % fewer of
about 5 kB."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small WebP copy; sizes in pixels, `sha256` hexadecimal."""

    data: bytes
    width: int
    height: int
    content_type: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Examined:
    """A verified picture's facts and its thumbnail."""

    facts: PictureFacts
    thumbnail: Thumbnail


def examine(
    data: bytes,
    *,
    max_bytes: int,
    max_pixels: int,
    expected_size: tuple[int, int] | None = None,
    max_side: int = DEFAULT_MAX_SIDE,
) -> Examined:
    """Verify as `inspect` does, and make a thumbnail of at most `max_side` pixels a side, from the same decode.

    Proportions and transparency are kept, metadata and orientation tags are not; a smaller picture keeps its size.
    Raises BadPicture.
    """
    container = check_bounds(data, max_bytes=max_bytes, max_pixels=max_pixels, expected_size=expected_size)
    picture = decode(data, container, at_least=2 * max_side)
    size = fitted((container.width, container.height), max_side)
    return Examined(facts=describe(data, container), thumbnail=_thumbnail(shrink(picture, size)))


def shrink(picture: Image, size: tuple[int, int]) -> Image:
    """A copy of that size, no larger than the picture, in RGB or (where something shows through) RGBA."""
    picture = _scalable(picture)
    # Averaging whole blocks costs a tenth of a resampling filter; the sizes models draw in need nothing else.
    blocks = picture.width // size[0], picture.height // size[1]
    if blocks != (1, 1):
        picture = picture.reduce(blocks)
    return _in_colour(picture if picture.size == size else picture.resize(size, Resampling.BICUBIC))


def _scalable(picture: Image) -> Image:
    """The picture in a mode whose values can be averaged: no palette, no single transparent colour, no 16-bit words."""
    if picture.mode.startswith("I;16"):
        return picture.convert("I")
    if picture.mode in ("1", "P", "PA") or "transparency" in picture.info:
        return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    return picture


def _in_colour(picture: Image) -> Image:
    if picture.mode == "I":  # 16-bit grey, which a plain conversion would clip at 255
        picture = picture.point(lambda value: value * (1 / 257)).convert("L")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema() != (255, 255):
            return picture
    return picture.convert("RGB")


def _thumbnail(picture: Image) -> Thumbnail:
    file = BytesIO()
    picture.save(file, "WEBP", quality=_QUALITY, method=_METHOD)
    data, (width, height) = file.getvalue(), picture.size
    return Thumbnail(data, width, height, content_type=CONTENT_TYPE, sha256=hashlib.sha256(data).hexdigest())
