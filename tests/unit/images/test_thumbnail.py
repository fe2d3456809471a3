"""One decode gives the facts and a small WebP copy."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

from pressroom.images.errors import BadPicture
from pressroom.images.thumbnail import Examined, examine
from pressroom.images.verify import inspect
from tests.unit.images.drawing import FORMATS, encoded, opened, picture

BOUNDS: dict[str, Any] = {"max_bytes": 10_000_000, "max_pixels": 4_000_000}


def look(data: bytes, **options: Any) -> Examined:
    return examine(data, **{**BOUNDS, **options})


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((256, 256), (128, 128)),
        ((1024, 1024), (128, 128)),
        ((1536, 1024), (128, 85)),
        ((300, 900), (43, 128)),
        ((100, 60), (100, 60)),
        ((1000, 3), (128, 1)),
        ((129, 129), (128, 128)),
        ((1, 1), (1, 1)),
    ],
)
def test_thumbnails_keep_proportions_and_never_grow(
    file_format: str, size: tuple[int, int], small: tuple[int, int]
) -> None:
    thumbnail = look(encoded(picture(size), file_format)).thumbnail
    image = opened(thumbnail.data)
    assert image.format == "WEBP"
    assert image.size == (thumbnail.width, thumbnail.height) == small
    assert thumbnail.content_type == "image/webp"
    assert thumbnail.sha256 == hashlib.sha256(thumbnail.data).hexdigest()


@pytest.mark.parametrize("file_format", FORMATS)
def test_facts_are_those_of_inspect(file_format: str) -> None:
    data = encoded(picture((700, 500)), file_format)
    assert look(data).facts == inspect(data, **BOUNDS)


@pytest.mark.parametrize("size", [(256, 256), (1024, 1024), (301, 299)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA"])
def test_a_thumbnail_shows_the_picture(size: tuple[int, int], mode: str) -> None:
    image = picture(size, mode)
    small = opened(look(encoded(image, "png")).thumbnail.data).convert("RGB")
    wanted = image.convert("RGB").resize(small.size, Image.Resampling.BOX)
    differences = [abs(a - b) for a, b in zip(small.tobytes(), wanted.tobytes(), strict=True)]
    assert sum(differences) / len(differences) < 6


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    small = opened(look(encoded(Image.new("I;16", (256, 256), 32_768), "png")).thumbnail.data)
    red, green, blue = small.convert("RGB").resize((1, 1), Image.Resampling.BOX).tobytes()
    assert all(abs(value - 128) <= 2 for value in (red, green, blue))


def test_transparency_stays_and_an_opaque_alpha_channel_goes() -> None:
    image = picture((256, 256), "RGBA")
    assert opened(look(encoded(image, "png")).thumbnail.data).mode == "RGB"
    image.putalpha(Image.linear_gradient("L"))
    assert opened(look(encoded(image, "png")).thumbnail.data).mode == "RGBA"


def test_a_transparent_colour_of_an_opaque_mode_stays_transparent() -> None:
    image = Image.new("RGB", (256, 256), (255, 0, 255))
    small = opened(look(encoded(image, "png", transparency=(255, 0, 255))).thumbnail.data)
    assert small.getchannel("A").getextrema() == (0, 0)


def test_an_orientation_tag_does_not_turn_the_thumbnail() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain, tagged = encoded(picture((200, 100)), "jpeg"), encoded(picture((200, 100)), "jpeg", exif=exif)
    assert look(tagged).thumbnail == look(plain).thumbnail


def test_another_side_can_be_asked_for() -> None:
    thumbnail = look(encoded(picture((512, 256)), "jpeg"), max_side=40).thumbnail
    assert (thumbnail.width, thumbnail.height) == (40, 20)


def test_bad_pictures_get_no_thumbnail() -> None:
    data = encoded(picture((64, 64)), "jpeg")
    with pytest.raises(BadPicture):
        look(data[:-20])
    with pytest.raises(BadPicture):
        look(data, expected_size=(64, 65))


def test_threads_get_the_same_answers() -> None:
    files = [encoded(picture((200 + index, 180)), FORMATS[index % 3]) for index in range(24)]
    alone = [look(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(look, files * 4)) == alone * 4
