"""Is this really a picture of that size? Bounds first, from the header; then every pixel is decoded, once.

Safe to call from many threads at once: Pillow's process-wide switches are neither read nor set, because its plugins are
called directly and not through `Image.open`.
"""

import hashlib
from dataclasses import dataclass
from io import BytesIO

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pressroom.images.containers import Container, PictureFormat, read_container
from pressroom.images.errors import BadPicture, Flaw

_DECODERS: dict[PictureFormat, type[ImageFile]] = {"png": PngImageFile, "jpeg": JpegImageFile, "webp": WebPImageFile}


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What is known of a picture that has been decoded to its last pixel. `sha256` is hexadecimal, over all bytes."""

    format: PictureFormat
    content_type: str
    width: int
    height: int
    byte_size: int
    sha256: str


def inspect(
    data: bytes, *, max_bytes: int, max_pixels: int, expected_size: tuple[int, int] | None = None
) -> PictureFacts:
    """Verify a PNG, JPEG or WebP still and describe it.

    Sizes are (width, height) in pixels as stored: an EXIF orientation changes nothing. Raises BadPicture.
    """
    container = check_bounds(data, max_bytes=max_bytes, max_pixels=max_pixels, expected_size=expected_size)
    decode(data, container)
    return describe(data, container)


def check_bounds(
    data: bytes, *, max_bytes: int, max_pixels: int, expected_size: tuple[int, int] | None = None
) -> Container:
    """Everything that can be told without decoding. Raises BadPicture."""
    if len(data) > max_bytes:
        raise BadPicture(Flaw.TOO_MANY_BYTES, f"{len(data)} bytes are more than the {max_bytes} allowed")
    container = read_container(data)
    size = container.width, container.height
    if container.width * container.height > max_pixels:
        raise BadPicture(Flaw.TOO_MANY_PIXELS, f"{size[0]}x{size[1]} pixels are more than the {max_pixels} allowed")
    if expected_size is not None and size != tuple(expected_size):
        wanted = f"{expected_size[0]}x{expected_size[1]}"
        raise BadPicture(Flaw.WRONG_SIZE, f"the picture has {size[0]}x{size[1]} pixels, {wanted} were asked for")
    return container


def decode(data: bytes, container: Container, *, at_least: int | None = None) -> ImageFile:
    """All pixels of a file whose bounds have been checked. Raises BadPicture (damaged) when they are not all there.

    With `at_least`, a JPEG may come back scaled down by a power of two whose longer side is still that many pixels: all
    of the file is read either way, and the scaled transform costs a third less.
    """
    try:
        picture = _DECODERS[container.format](BytesIO(data))
        if picture.size != (container.width, container.height):
            raise BadPicture(Flaw.DAMAGED, f"the header says {container.width}x{container.height}, not {picture.size}")
        if at_least is not None:
            picture.draft(None, fitted(picture.size, at_least))
        picture.load()
    except (BadPicture, MemoryError):
        raise
    except Exception as error:  # whatever a plugin trips over, the fault is in the file: Pillow has no common error
        raise BadPicture(Flaw.DAMAGED, f"the {container.format} does not decode: {error}") from error
    return picture


def fitted(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """`size` in the same proportions with no side over `max_side`; never enlarged, never less than 1 pixel."""
    longer = max(size)
    if longer <= max_side:
        return size
    return max(1, round(size[0] * max_side / longer)), max(1, round(size[1] * max_side / longer))


def describe(data: bytes, container: Container) -> PictureFacts:
    """The facts of a file that has been decoded."""
    return PictureFacts(
        format=container.format,
        content_type=container.content_type,
        width=container.width,
        height=container.height,
        byte_size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
