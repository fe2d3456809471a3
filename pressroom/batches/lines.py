"""Physical lines of a file, counted and bounded, so that no input can fill the memory."""

from collections.abc import Iterator
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pressroom.errors import InvalidInput, Problem

MAX_LINE_BYTES = 25 * 1024 * 1024
"""A line with a few pictures as data URLs still fits."""

_BOM = b"\xef\xbb\xbf"
_BUFFER_BYTES = 1024 * 1024
_FOREIGN = (
    (b"\xff\xfe", "is UTF-16 text", "Save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16 text", "Save it as UTF-8"),
    (b"\x1f\x8b", "is compressed with gzip", "Unpack it first (gunzip)"),
    (b"PK\x03\x04", "is a ZIP archive or a spreadsheet", "Unpack it, or export the sheet as CSV in UTF-8"),
)


class PhysicalLine(NamedTuple):
    """`number` is 1-based; `data` keeps its line end, and is None for a line longer than allowed."""

    number: int
    data: bytes | None


def open_input(path: Path) -> BufferedReader:
    """The file for reading. Raises InvalidInput when there is none, or it is certainly not text in UTF-8."""
    try:
        file: BufferedReader = BufferedReader(FileIO(path), _BUFFER_BYTES)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        problem = Problem("file", reason, "Name a file that is there and that you may read", value=str(path))
        raise InvalidInput([problem], source=path.name) from error
    try:
        refuse_foreign(file, path.name)
    except InvalidInput:
        file.close()
        raise
    return file


def refuse_foreign(file: BufferedReader, name: str) -> None:
    """Raises InvalidInput for what is certainly not text in UTF-8; reads nothing away."""
    start = file.peek(4)[:4]
    for magic, reason, remedy in _FOREIGN:
        if start.startswith(magic):
            raise InvalidInput([Problem("file", reason, remedy)], source=name)


def physical_lines(file: BinaryIO, *, max_bytes: int = MAX_LINE_BYTES) -> Iterator[PhysicalLine]:
    """Every line, without the byte order mark that some editors put first."""
    number = 0
    while data := file.readline(max_bytes + 1):
        number += 1
        if number == 1:
            data = data.removeprefix(_BOM)
        if len(data) > max_bytes:
            _skip_rest(file, data, max_bytes)
            yield PhysicalLine(number, None)
        else:
            yield PhysicalLine(number, data)


def _skip_rest(file: BinaryIO, data: bytes, max_bytes: int) -> None:
    while data and not data.endswith(b"\n"):
        data = file.readline(max_bytes)


def too_long(number: int) -> Problem:
    """The problem of a line whose `data` is None."""
    limit = f"{MAX_LINE_BYTES // 1024**2} MB"
    return Problem("line", f"is longer than {limit}", "Give pictures as URLs instead of data", line=number)


def decode_problem(error: UnicodeDecodeError, number: int) -> Problem:
    """The problem of a line that is not UTF-8."""
    reason = f"is not UTF-8 (byte 0x{error.object[error.start]:02x} at position {error.start + 1})"
    return Problem("line", reason, "Save the file as UTF-8", line=number)


def lone_return(number: int) -> Problem:
    """A carriage return that ends no line: an old-Mac file, whose prompts would run together into one."""
    reason = "has a carriage return without a line feed"
    return Problem("line", reason, "Save the file with \\n or \\r\\n at the line ends", line=number)
