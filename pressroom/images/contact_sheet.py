"""One picture of many thumbnails, each with its name underneath, to see a whole batch at a glance."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice

from PIL import Image, ImageDraw, ImageFont

from pressroom.images.errors import BadPicture
from pressroom.images.thumbnail import shrink
from pressroom.images.verify import check_bounds, decode, fitted

CONTENT_TYPE = "image/jpeg"
MAX_PICTURES = 2000
"""Pictures drawn at most, which bounds the memory below 150 MB; the sheet says how many more there are."""

_SIDE, _GAP, _CAPTION = 64, 4, 11
_CELL_WIDTH, _CELL_HEIGHT = _SIDE + _GAP, _SIDE + _CAPTION + _GAP
_MARGIN, _TITLE_HEIGHT, _NOTE_HEIGHT, _MIN_WIDTH = 8, 34, 18, 480
_MAX_HEIGHT = 65_000  # of a JPEG: 65,535
_MAX_COLUMNS = 900
_MAX_THUMBNAIL_BYTES, _MAX_THUMBNAIL_PIXELS = 8 * 1024 * 1024, 4_000_000
_PAPER, _INK, _FAINT, _EMPTY = (250, 250, 248), (25, 25, 25), (110, 110, 110), (225, 225, 222)


@dataclass(frozen=True, slots=True)
class _Fonts:
    title: ImageFont.FreeTypeFont
    note: ImageFont.FreeTypeFont
    caption: ImageFont.FreeTypeFont


def contact_sheet(
    thumbnails: Iterable[tuple[str, bytes]],
    *,
    columns: int,
    title: str,
    footnote: str | None = None,
    total: int | None = None,
    max_pictures: int = MAX_PICTURES,
) -> bytes:
    """A JPEG of (caption, picture file) pairs in rows of `columns`, 64 pixels a side, under a title line.

    After `max_pictures` it notes how many more there are: `total` less those drawn where `total` is given, else by
    running through the rest of `thumbnails`. One that is no picture leaves a grey cell with its caption.
    """
    if not 1 <= columns <= _MAX_COLUMNS:
        raise ValueError(f"columns={columns}: a contact sheet has 1 to {_MAX_COLUMNS}")
    fonts = _Fonts(_font(18), _font(12), _font(9))
    most = min(max_pictures, columns * ((_MAX_HEIGHT - _TITLE_HEIGHT - 2 * _NOTE_HEIGHT) // _CELL_HEIGHT))
    remaining = iter(thumbnails)
    rows = [_row(cells, fonts.caption) for cells in _in_rows(islice(remaining, most), columns)]
    drawn = sum(count for count, _ in rows)
    more = sum(1 for _ in remaining) if total is None else total - drawn
    notes = [f"… and {more:,} more"] if more > 0 else []
    notes += [footnote] if footnote else []
    return _compose([strip for _, strip in rows], title=title, notes=notes, fonts=fonts)


def _in_rows(pairs: Iterator[tuple[str, bytes]], columns: int) -> Iterator[list[tuple[str, bytes]]]:
    while row := list(islice(pairs, columns)):
        yield row


def _row(cells: list[tuple[str, bytes]], font: ImageFont.FreeTypeFont) -> tuple[int, Image.Image]:
    """How many cells, and the strip with them, which is all that is kept of the thumbnails."""
    strip = Image.new("RGB", (len(cells) * _CELL_WIDTH, _CELL_HEIGHT), _PAPER)
    pen = ImageDraw.Draw(strip)
    for index, (caption, data) in enumerate(cells):
        left = index * _CELL_WIDTH
        picture = _small(data)
        if picture is None:
            pen.rectangle((left, 0, left + _SIDE - 1, _SIDE - 1), fill=_EMPTY)
        else:
            at = left + (_SIDE - picture.width) // 2, (_SIDE - picture.height) // 2
            strip.paste(picture, at, picture if picture.mode == "RGBA" else None)
        pen.text((left, _SIDE), _cut(caption, _SIDE, font), fill=_FAINT, font=font)
    return len(cells), strip


def _small(data: bytes) -> Image.Image | None:
    try:
        container = check_bounds(data, max_bytes=_MAX_THUMBNAIL_BYTES, max_pixels=_MAX_THUMBNAIL_PIXELS)
        return shrink(decode(data, container), fitted((container.width, container.height), _SIDE))
    except BadPicture:
        return None


def _compose(strips: list[Image.Image], *, title: str, notes: list[str], fonts: _Fonts) -> bytes:
    width = max(_MIN_WIDTH, *(strip.width for strip in strips), 0) + 2 * _MARGIN
    height = _TITLE_HEIGHT + len(strips) * _CELL_HEIGHT + len(notes) * _NOTE_HEIGHT + _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    room = width - 2 * _MARGIN
    pen.text((_MARGIN, 7), _cut(title, room, fonts.title), fill=_INK, font=fonts.title)
    top = _TITLE_HEIGHT
    for strip in strips:
        sheet.paste(strip, (_MARGIN, top))
        top += _CELL_HEIGHT
    for note in notes:
        pen.text((_MARGIN, top), _cut(note, room, fonts.note), fill=_INK, font=fonts.note)
        top += _NOTE_HEIGHT
    file = BytesIO()
    sheet.save(file, "JPEG", quality=85, subsampling=0)
    return file.getvalue()


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font inside Pillow, so that a sheet looks the same on every machine; without the slower text shaping."""
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow was built without FreeType: install the wheel from PyPI")
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


def _cut(text: str, room: int, font: ImageFont.FreeTypeFont) -> str:
    """One line of `text` that is at most `room` pixels long; what was cut off shows as three dots."""
    # Lone surrogates, which JSON may carry, cannot be drawn.
    line = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())[:room]
    if font.getlength(line) <= room:
        return line
    while line and font.getlength(line + "...") > room:
        line = line[:-1]
    return line.rstrip() + "..."
