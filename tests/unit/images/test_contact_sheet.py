"""A batch's thumbnails on one picture."""

from collections.abc import Iterator

import pytest
from PIL import Image

from pressroom.images.contact_sheet import CONTENT_TYPE, contact_sheet
from tests.unit.images.drawing import encoded, opened, picture

RED, GREEN = (220, 30, 30), (30, 160, 60)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (128, 128)) -> bytes:
    return encoded(Image.new("RGB", size, colour), "webp")


def sheet(pairs: list[tuple[str, bytes]], columns: int = 4, **options: int | str) -> Image.Image:
    data = contact_sheet(pairs, **{"columns": columns, "title": "SANDBOX", **options})  # type: ignore[arg-type]
    image = opened(data)
    assert f"image/{(image.format or '').lower()}" == CONTENT_TYPE
    return image


def is_near(image: Image.Image, at: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    pixel = image.convert("RGB").crop((*at, at[0] + 1, at[1] + 1)).tobytes()
    return all(abs(a - b) < 12 for a, b in zip(pixel, colour, strict=True))


def inked(image: Image.Image, box: tuple[int, int, int, int]) -> int:
    """Dark pixels in a part of the sheet: something is written there."""
    return sum(value < 120 for value in image.convert("L").crop(box).tobytes())


def test_pictures_come_in_rows_in_their_order() -> None:
    image = sheet(
        [("one", plain(RED)), ("two", plain(GREEN)), ("three", plain(GREEN)), ("four", plain(RED))], columns=2
    )
    # Cells are 68 x 79 pixels, from (8, 34).
    assert is_near(image, (40, 66), RED)
    assert is_near(image, (108, 66), GREEN)
    assert is_near(image, (40, 145), GREEN)
    assert is_near(image, (108, 145), RED)


def test_title_captions_and_footnote_are_written() -> None:
    image = sheet([("caption", plain(GREEN))], footnote="made up")
    assert inked(image, (8, 5, 200, 30)) > 100
    assert inked(image, (8, 113, 200, 132)) > 20
    caption = image.convert("L").crop((8, 99, 76, 110))
    assert min(caption.tobytes()) < 180


def test_pictures_of_other_shapes_are_centred() -> None:
    image = sheet([("wide", plain(RED, (128, 64)))])
    assert is_near(image, (40, 66), RED)
    assert is_near(image, (40, 38), (250, 250, 248))


def test_something_that_is_no_picture_leaves_a_grey_cell() -> None:
    image = sheet([("gone", b"<html>"), ("here", plain(RED))])
    assert is_near(image, (40, 66), (225, 225, 222))
    assert is_near(image, (108, 66), RED)


def test_what_does_not_fit_is_counted() -> None:
    def pairs() -> Iterator[tuple[str, bytes]]:
        for index in range(30):
            drawn.append(index)
            yield str(index), picture_file

    drawn: list[int] = []
    picture_file = plain(RED, (8, 8))
    some = opened(contact_sheet(pairs(), columns=5, title="t", max_pictures=10))
    assert len(drawn) == 30
    drawn.clear()
    told = opened(contact_sheet(pairs(), columns=5, title="t", max_pictures=10, total=30))
    assert len(drawn) == 10
    assert some.tobytes() == told.tobytes()
    everything = opened(contact_sheet(pairs(), columns=5, title="t"))
    assert some.height == 34 + 2 * 79 + 18 + 8
    assert everything.height == 34 + 6 * 79 + 8


def test_no_pictures_give_a_sheet_with_a_title() -> None:
    assert inked(sheet([]), (8, 5, 200, 30)) > 100


@pytest.mark.parametrize(
    "caption", ["", "a" * 5000, "two\nlines\tand tabs", "\ud800 lone", "\U0001f994 é 漢字", "\0\x1b[31m"]
)
def test_any_caption_can_be_drawn(caption: str) -> None:
    assert sheet([(caption, plain(RED))], title=caption, footnote=caption).width == 496


def test_long_captions_stay_in_their_cell() -> None:
    image = sheet([("W" * 100, plain(RED)), ("", plain(RED))], columns=2)
    assert min(image.convert("L").crop((74, 99, 144, 110)).tobytes()) > 200


def test_a_single_column_stops_before_the_format_does() -> None:
    small = encoded(picture((4, 4)), "webp")
    image = sheet([("x", small)] * 900, columns=1)
    assert image.height < 65_500


@pytest.mark.parametrize("columns", [0, -1, 901])
def test_columns_have_bounds(columns: int) -> None:
    with pytest.raises(ValueError, match=f"columns={columns}"):
        contact_sheet([], columns=columns, title="t")
