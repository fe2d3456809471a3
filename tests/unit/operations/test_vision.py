"""Tokens of pictures in a chat, by their size where the request holds them."""

import struct
from base64 import b64encode
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from pressroom.catalog.entries import Vision
from pressroom.catalog.load import catalog
from pressroom.operations.picture_size import data_url_size
from pressroom.operations.vision import picture_tokens


def encoded(data: bytes) -> str:
    return f"data:image/any;base64,{b64encode(data).decode()}"


def data_url(width: int, height: int, form: str = "PNG", **options: Any) -> str:
    file = BytesIO()
    Image.new("RGB", (width, height)).save(file, form, **options)
    return encoded(file.getvalue())


def vision_of(model: str) -> Vision:
    entry = catalog().model(model)
    assert entry is not None
    assert entry.vision is not None
    return entry.vision


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_the_size_is_read_from_the_files_head(form: str) -> None:
    assert data_url_size(data_url(301, 17, form)) == (301, 17)


def test_a_lossless_webp_and_one_with_transparency_name_it_elsewhere() -> None:
    assert data_url_size(data_url(301, 17, "WEBP", lossless=True)) == (301, 17)
    file = BytesIO()
    Image.new("RGBA", (301, 17), (1, 2, 3, 4)).save(file, "WEBP", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00")
    assert data_url_size(encoded(file.getvalue())) == (301, 17)


def test_a_jpeg_may_have_a_long_profile_before_it() -> None:
    assert data_url_size(data_url(301, 17, "JPEG", icc_profile=b"\x00" * 120_000)) == (301, 17)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.test/a.png",
        "data:image/png;base64,",
        "data:image/png;base64,AAAA",
        "data:image/png;base64,!!!!",
        "data:image/png,abc",
        "data:image/svg+xml;base64,PHN2Zy8+",
        encoded(b"\x89PNG\r\n\x1a\n"),
        encoded(b"GIF89a" + struct.pack("<HH", 0, 5) + bytes(9)),
        encoded(b"\xff\xd8\xff\xe0"),
    ],
)
def test_where_no_size_is_to_be_read_there_is_none(url: str) -> None:
    assert data_url_size(url) is None


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        ((1024, 1024), 25_501),
        ((1920, 1080), 36_835),
        ((2048, 4096), 36_835),
        ((512, 512), 25_501),  # enlarged to 768: the dearer of two readings
        ((2048, 768), 48_169),
        ((100, 2000), 2_833 + 4 * 5_667),
    ],
)
def test_gpt_4o_mini_counts_tiles(size: tuple[int, int], tokens: int) -> None:
    image = {"url": data_url(*size)}

    assert picture_tokens(image, vision_of("gpt-4o-mini")) == (tokens, tokens)


@pytest.mark.parametrize(("size", "tokens"), [((512, 512), 308), ((1024, 1024), 1_229), ((4032, 3024), 14_364)])
def test_gpt_6_luna_counts_patches(size: tuple[int, int], tokens: int) -> None:
    assert picture_tokens({"url": data_url(*size)}, vision_of("gpt-6-luna")) == (tokens, tokens)


def test_low_detail_costs_the_same_at_any_size_and_elsewhere_the_dearest_is_the_bound() -> None:
    vision = vision_of("gpt-4o-mini")

    assert picture_tokens({"url": data_url(4000, 3000), "detail": "low"}, vision) == (2_833, 2_833)
    assert picture_tokens({"url": "https://example.test/a.png", "detail": "high"}, vision) == (25_501, 48_169)
    assert picture_tokens({"url": "https://example.test/a.png"}, None) == (1_229, 48_169)
