"""What is accepted as a picture, what is refused, and that bounds hold before anything is decoded."""

import hashlib
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from pressroom.errors import PressroomError
from pressroom.images.errors import BadPicture, Flaw
from pressroom.images.verify import PictureFacts, inspect
from tests.unit.images.drawing import FORMATS, encoded, picture


def look(data: bytes, **bounds: Any) -> PictureFacts:
    return inspect(data, **{"max_bytes": 10_000_000, "max_pixels": 1_000_000, **bounds})


def flaw_of(data: bytes, **bounds: Any) -> Flaw:
    with pytest.raises(BadPicture) as caught:
        look(data, **bounds)
    assert caught.value.reason == str(caught.value) != ""
    return caught.value.flaw


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width: int, height: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0" * 64)) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("size", [(256, 256), (1, 1), (37, 91), (512, 16)])
def test_facts_describe_the_file(file_format: str, size: tuple[int, int]) -> None:
    data = encoded(picture(size), file_format)
    facts = look(data, expected_size=size)
    assert (facts.format, facts.content_type) == (file_format, f"image/{file_format}")
    assert (facts.width, facts.height) == size
    assert facts.byte_size == len(data)
    assert facts.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"lossless": False}, {"lossless": False, "exif": b"Exif\0\0MM"}]
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_each_of_the_three_shapes_of_webp_is_measured(options: dict[str, Any], mode: str) -> None:
    image = picture((300, 200), mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    facts = look(encoded(image, "webp", **options))
    assert (facts.width, facts.height) == (300, 200)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_colour_mode_of_png_passes(mode: str) -> None:
    image = Image.new("I;16", (40, 30), 40_000) if mode == "I;16" else picture((40, 30), mode)
    assert look(encoded(image, "png")).width == 40


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"quality": 5}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_kind_of_jpeg_passes(options: dict[str, Any], mode: str) -> None:
    assert look(encoded(picture((40, 30), mode), "jpeg", **options)).height == 30


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_tag_changes_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for file_format in FORMATS:
        facts = look(encoded(picture((64, 32)), file_format, exif=exif), expected_size=(64, 32))
        assert (facts.width, facts.height) == (64, 32)


def test_bounds_are_inclusive() -> None:
    data = encoded(picture((20, 10)), "png")
    look(data, max_bytes=len(data), max_pixels=200)
    assert flaw_of(data, max_bytes=len(data) - 1) is Flaw.TOO_MANY_BYTES
    assert flaw_of(data, max_pixels=199) is Flaw.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    "bomb",
    [
        png_claiming(60_000, 60_000),
        png_claiming(2**31 - 1, 2**31 - 1),
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\0" * 4 + b"\xff" * 6,
        b"RIFF" + struct.pack("<I", 17) + b"WEBPVP8L" + struct.pack("<I", 5) + b"\x2f\xff\xff\xff\x0f",
        b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 65_000, 65_000, 1) + b"\1\x11\0\xff\xda\xff\xd9",
    ],
)
def test_a_small_file_that_claims_to_be_huge_is_refused_by_its_header(bomb: bytes) -> None:
    assert flaw_of(bomb) is Flaw.TOO_MANY_PIXELS


def test_a_png_that_claims_more_pixels_than_it_has_is_damaged() -> None:
    assert flaw_of(png_claiming(100, 100)) is Flaw.DAMAGED


def test_a_size_of_nothing_is_damaged() -> None:
    assert flaw_of(png_claiming(0, 100)) is Flaw.DAMAGED


@pytest.mark.parametrize("file_format", FORMATS)
def test_another_size_than_was_asked_for_is_refused_and_says_both(file_format: str) -> None:
    with pytest.raises(BadPicture, match=r"256x255 .* 256x256") as caught:
        look(encoded(picture((256, 255)), file_format), expected_size=(256, 256))
    assert caught.value.flaw is Flaw.WRONG_SIZE
    assert isinstance(caught.value, PressroomError)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"<html><body>504 Gateway Timeout</body></html>", b"GIF89a", b"BM" + b"\0" * 60]
)
def test_other_files_are_of_unknown_format(data: bytes) -> None:
    assert flaw_of(data) is Flaw.UNKNOWN_FORMAT


def test_a_real_gif_is_of_unknown_format() -> None:
    assert flaw_of(encoded(picture((20, 20), "P"), "gif")) is Flaw.UNKNOWN_FORMAT


@pytest.mark.parametrize("file_format", ["png", "webp"])
def test_animations_are_refused(file_format: str) -> None:
    frames = [picture((20, 20)), picture((20, 20)).transpose(Image.Transpose.ROTATE_90)]
    assert flaw_of(encoded(frames[0], file_format, save_all=True, append_images=frames[1:])) is Flaw.ANIMATED


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_cut_off_anywhere_is_refused(file_format: str) -> None:
    data = encoded(picture((48, 48)), file_format)
    for length in range(12, len(data)):
        with pytest.raises(BadPicture) as caught:
            look(data[:length])
        assert caught.value.flaw is Flaw.DAMAGED, length


def test_a_flipped_bit_in_the_pixels_of_a_png_is_found() -> None:
    data = bytearray(encoded(picture((64, 64)), "png"))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(BadPicture, match="checksum"):
        look(bytes(data))


@pytest.mark.parametrize("file_format", FORMATS)
def test_bytes_after_the_end_do_no_harm(file_format: str) -> None:
    data = encoded(picture((16, 16)), file_format) + b"\0\0trailing"
    assert look(data).byte_size == len(data)
