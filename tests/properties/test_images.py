"""Whatever the bytes, the answer is facts that are true or BadPicture, and never anything else."""

import struct
import zlib

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pressroom.images.contact_sheet import contact_sheet
from pressroom.images.errors import BadPicture, Flaw
from pressroom.images.thumbnail import Examined, examine
from pressroom.images.verify import fitted
from tests.unit.images.drawing import FORMATS, encoded, opened, picture

SAMPLES = [
    *(encoded(picture((33, 21)), file_format) for file_format in FORMATS),
    encoded(picture((33, 21), "RGBA"), "png"),
    encoded(picture((33, 21), "P"), "png", transparency=3),
    encoded(picture((33, 21)), "jpeg", progressive=True),
    encoded(picture((33, 21)), "webp", lossless=True),
    encoded(picture((33, 21)), "webp", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
]
HEADS = (
    b"\x89PNG\r\n\x1a\n",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"\xff\xd8\xff",
    b"RIFF\x10\0\0\0WEBPVP8X",
    b"RIFF\4\0\0\0WEBP",
)
sides = st.integers(1, 400)


def examined(data: bytes) -> Examined | BadPicture:
    try:
        return examine(data, max_bytes=1_000_000, max_pixels=200_000)
    except BadPicture as error:
        return error


def holds(data: bytes) -> None:
    """A picture that passed reads back by Pillow's front door as what the facts say."""
    outcome = examined(data)
    if isinstance(outcome, Examined):
        facts, image = outcome.facts, opened(data)
        assert (image.width, image.height) == (facts.width, facts.height)
        assert facts.width * facts.height <= 200_000
        assert opened(outcome.thumbnail.data).size == (outcome.thumbnail.width, outcome.thumbnail.height)


@given(st.binary(max_size=400), st.sampled_from((b"", *HEADS)))
@example(b"", b"")
def test_random_bytes_are_refused(data: bytes, head: bytes) -> None:
    assert isinstance(examined(head + data), BadPicture)


@given(st.sampled_from(SAMPLES), st.data())
def test_every_truncation_is_refused(sample: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(sample) - 1))
    outcome = examined(sample[:length])
    assert isinstance(outcome, BadPicture)
    assert outcome.flaw in (Flaw.DAMAGED, Flaw.UNKNOWN_FORMAT)


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=400)
def test_damage_anywhere_is_refused_or_harmless(sample: bytes, data: st.DataObject) -> None:
    damaged = bytearray(sample)
    for at in data.draw(st.lists(st.integers(0, len(sample) - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    holds(bytes(damaged))


@given(
    st.lists(
        st.tuples(
            st.sampled_from((b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"gAMA", b"eXIf", b"caBX")), st.binary(max_size=40)
        )
    ),
    st.sampled_from((0, 2, 3, 4, 6)),
    st.sampled_from((1, 2, 4, 8, 16)),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.binary(max_size=3000),
)
@settings(max_examples=300)
def test_pngs_with_right_checksums_and_wrong_contents_hold(
    chunks: list[tuple[bytes, bytes]], colour: int, depth: int, size: tuple[int, int], pixels: bytes
) -> None:
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    file = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    holds(b"\x89PNG\r\n\x1a\n" + file)


@given(sides, sides, st.sampled_from(FORMATS), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_sizes_are_right_for_every_shape(width: int, height: int, file_format: str, max_side: int) -> None:
    data = encoded(picture((width, height)), file_format)
    outcome = examine(data, max_bytes=10**7, max_pixels=10**6, expected_size=(width, height), max_side=max_side)
    assert (outcome.facts.width, outcome.facts.height) == (width, height)
    small = outcome.thumbnail.width, outcome.thumbnail.height
    assert small == fitted((width, height), max_side) == opened(outcome.thumbnail.data).size


@given(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), st.integers(1, 5000))
def test_fitted_sizes_fit_and_keep_proportions(size: tuple[int, int], max_side: int) -> None:
    width, height = fitted(size, max_side)
    assert 1 <= width <= size[0]
    assert 1 <= height <= size[1]
    assert max(width, height) == min(max(size), max_side)
    scale = max(width, height) / max(size)
    assert abs(width - size[0] * scale) <= 1
    assert abs(height - size[1] * scale) <= 1


@given(
    st.lists(st.tuples(st.text(max_size=30), st.sampled_from((*SAMPLES, b"", b"junk"))), max_size=12), st.integers(1, 9)
)
@settings(max_examples=40, deadline=None)
def test_contact_sheets_can_be_made_of_anything(pairs: list[tuple[str, bytes]], columns: int) -> None:
    image = opened(contact_sheet(pairs, columns=columns, title="SANDBOX", footnote=None))
    rows = -(-len(pairs) // columns)
    assert image.height == 34 + rows * 79 + 8
