"""The sandbox's pictures: PNGs that show their prompt and the word SANDBOX, the same for the same request.

Cheap on purpose, since they share the machine with the system under test: everything is drawn at 256 pixels with
Pillow's bitmap font (20 times cheaper than FreeType) and enlarged by whole factors, and the PNG is written here,
because Pillow's encoder tries five filters a row.
"""

import functools
import hashlib
import struct
import textwrap
import zlib

from PIL import Image, ImageDraw, ImageFont

SIZES = ("256x256", "512x512", "1024x1024")
_BASE = 256
_COLUMNS = 40
_LINE_HEIGHT = 12
_BANNER_HEIGHT = 34
_MAX_LINES = (_BASE - _BANNER_HEIGHT - 26) // _LINE_HEIGHT
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FILTER_NONE, _FILTER_UP = b"\x00", b"\x02"


def draw_png(prompt: str, size: str, index: int) -> bytes:
    """An RGB PNG of `size` ("512x512") for picture number `index` (from 0) of `prompt`."""
    pixels = int(size.partition("x")[0])
    digest = hashlib.blake2b(f"{size}|{index}|{prompt}".encode("utf-8", "surrogatepass"), digest_size=24).digest()
    image = _picture(prompt, f"{size} #{index + 1}", digest)
    texts = {
        "Software": "Pressroom sandbox",
        "Title": "SANDBOX picture, not made by any model",
        "prompt": prompt,
        "size": size,
        "index": str(index),
    }
    return _encode(image, pixels // _BASE, texts)


def _picture(prompt: str, label: str, digest: bytes) -> Image.Image:
    paper = (160 + digest[0] // 3, 160 + digest[1] // 3, 160 + digest[2] // 3)
    image = Image.new("RGB", (_BASE, _BASE), paper)
    draw = ImageDraw.Draw(image)
    for i in range(3, 21, 6):  # three discs in the request's own colours and places
        x, y, radius = digest[i], digest[i + 1], 20 + digest[i + 2] // 4
        colour = (90 + digest[i + 3] // 2, 90 + digest[i + 4] // 2, 90 + digest[i + 5] // 2)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    image.paste(_banner(), (0, 0))
    font = _font()
    # The bitmap font knows Latin-1; anything else is shown by its Unicode name.
    shown = prompt.encode("utf-8", "replace").decode().encode("latin-1", "namereplace").decode("latin-1")
    lines = textwrap.wrap(shown, _COLUMNS)
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], f"... ({len(prompt)} characters)"]
    top = _BANNER_HEIGHT + 8
    for number, line in enumerate(lines):
        draw.text((8, top + number * _LINE_HEIGHT), line, font=font, fill=(16, 16, 16))
    draw.text((8, _BASE - 15), label, font=font, fill=(70, 70, 70))
    return image


@functools.cache
def _font() -> ImageFont.ImageFont:
    return ImageFont.load_default_imagefont()


@functools.cache
def _banner() -> Image.Image:
    """SANDBOX in large letters on a dark bar."""
    small = Image.new("RGB", (_BASE // 3, _BANNER_HEIGHT // 2), (24, 24, 24))
    ImageDraw.Draw(small).text((20, 3), "SANDBOX", font=_font(), fill=(255, 196, 0))
    return small.resize((_BASE, _BANNER_HEIGHT), Image.Resampling.NEAREST)


def _encode(image: Image.Image, factor: int, texts: dict[str, str]) -> bytes:
    """A PNG of `image` enlarged `factor` times; repeated rows cost a filter byte and zeros that compress to nothing."""
    width = image.width * factor
    if factor > 1:
        image = image.resize((width, image.height), Image.Resampling.NEAREST)
    raw = image.tobytes()
    stride = width * 3
    repeats = (_FILTER_UP + bytes(stride)) * (factor - 1)
    compressor = zlib.compressobj(1)
    pixels: list[bytes] = []
    for start in range(
        0, len(raw), stride
    ):  # row by row: one large buffer would cost more in page faults than zlib does
        pixels.append(compressor.compress(_FILTER_NONE + raw[start : start + stride] + repeats))
    pixels.append(compressor.flush())
    header = struct.pack(">IIBBBBB", width, image.height * factor, 8, 2, 0, 0, 0)
    chunks = [_PNG_SIGNATURE, _chunk(b"IHDR", header)]
    chunks += [_chunk(b"iTXt", _text_chunk(key, value)) for key, value in texts.items()]
    chunks += [_chunk(b"IDAT", b"".join(pixels)), _chunk(b"IEND", b"")]
    return b"".join(chunks)


def _text_chunk(key: str, value: str) -> bytes:
    return key.encode("latin-1") + b"\0\0\0\0\0" + value.encode("utf-8", "replace")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
