"""Pictures to test with, made on the spot."""

from io import BytesIO
from typing import Any

from PIL import Image

FORMATS = ("png", "jpeg", "webp")


def picture(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Two diagonal gradients: compresses like a drawing, and no two quarters look alike."""
    ramp = Image.linear_gradient("L").resize(size)
    other = Image.radial_gradient("L").resize(size)
    return Image.merge("RGB", (ramp, other, ramp.transpose(Image.Transpose.ROTATE_180))).convert(mode)


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """The picture as a file."""
    file = BytesIO()
    image.save(file, file_format.upper(), **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    """Read back by Pillow's own front door, which the code under test does not use."""
    image = Image.open(BytesIO(data))
    image.load()
    return image
