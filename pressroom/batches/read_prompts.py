"""Prompts: one a line (.txt), or one a row of a table with a header (.csv, .tsv)."""

import csv
from collections.abc import Iterable, Iterator, Sequence

from pressroom.batches.input_line import InputLine, bad_line
from pressroom.batches.lines import MAX_LINE_BYTES, PhysicalLine, decode_problem, lone_return, too_long
from pressroom.batches.prompt_body import PromptRequests
from pressroom.errors import Problem
from pressroom.operations.checks import shown

DEFAULT_COLUMN = "prompt"
_DELIMITERS = ",;\t"
_LONE_RETURN = "new-line character seen in unquoted field"
_SHOWN_NAME = 60

Row = tuple[int, list[str]]


class _Unreadable(Exception):
    """Nothing after this place can be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_text(lines: Iterable[PhysicalLine], requests: PromptRequests) -> Iterator[InputLine]:
    """A prompt a line; blank lines are skipped."""
    for number, data in lines:
        if data is None:
            yield bad_line(too_long(number))
            continue
        try:
            prompt = data.decode().strip()
        except UnicodeDecodeError as error:
            yield bad_line(decode_problem(error, number))
            continue
        if "\r" in prompt:
            yield bad_line(lone_return(number))
        elif prompt:
            yield _ask(requests, number, prompt)


def read_table(
    lines: Iterable[PhysicalLine], requests: PromptRequests, *, column: str | None, tabs: bool
) -> Iterator[InputLine]:
    """A prompt a row, from the named column; else from `prompt`; else from the only one. Blank rows are skipped."""
    rows = _tab_rows(lines) if tabs else _csv_rows(lines)
    try:
        number, header = next(rows, (1, []))
        place = _find_column(header, column)
        if isinstance(place, Problem):
            yield bad_line(place)
            return
        for number, row in rows:
            yield _ask_row(requests, number, row, (header, place))
    except _Unreadable as stop:
        yield bad_line(stop.problem)


def _ask(requests: PromptRequests, number: int, prompt: str) -> InputLine:
    body, body_json = requests.body(prompt)
    return InputLine(number, f"line-{number}", requests.url, body, body_json)


def _ask_row(requests: PromptRequests, number: int, row: list[str], column: tuple[list[str], int]) -> InputLine:
    header, place = column
    if len(row) != len(header):
        reason = f"has {len(row)} fields where the header has {len(header)}"
        remedy = "Put prompts that contain the separator in double quotes"
        return bad_line(Problem("row", reason, remedy, line=number))
    prompt = row[place].strip()
    if not prompt:
        name = header[place].strip()[:_SHOWN_NAME]
        return bad_line(Problem(name, "is empty", "Fill it in, or delete the row", line=number))
    return _ask(requests, number, prompt)


def _find_column(header: Sequence[str], column: str | None) -> int | Problem:
    names = [name.strip() for name in header]
    lowered = [name.lower() for name in names]
    wanted = column if column is not None else DEFAULT_COLUMN
    if not any(names):
        return Problem("header", "is missing", "Name the columns in the first line", line=1)
    if names.count(wanted) == 1:
        return names.index(wanted)
    if wanted not in names and lowered.count(wanted.lower()) == 1:
        return lowered.index(wanted.lower())
    if column is None and len(names) == 1:
        return 0
    reason = "names several columns" if wanted.lower() in lowered else "is not in the header"
    remedy = f"Give one of the columns: {shown(names)}"
    if names.count(wanted) > 1:
        remedy = "Give each column of the first line a name of its own"
    return Problem("column", reason, remedy, value=shown(wanted), line=1)


def _decoded(lines: Iterable[PhysicalLine]) -> Iterator[tuple[int, str]]:
    for number, data in lines:
        if data is None:
            raise _Unreadable(too_long(number))
        try:
            yield number, data.decode()
        except UnicodeDecodeError as error:
            raise _Unreadable(decode_problem(error, number)) from None


def _tab_rows(lines: Iterable[PhysicalLine]) -> Iterator[Row]:
    """Tab-separated values have no quoting of their own; a field that is quoted whole, as spreadsheets write, is."""
    for number, text in _decoded(lines):
        row = text.rstrip("\r\n")
        if "\r" in row:
            raise _Unreadable(lone_return(number))
        if row.strip():
            yield number, [_unquoted(cell) for cell in row.split("\t")]


def _unquoted(cell: str) -> str:
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"':
        return cell
    inside = cell[1:-1].replace('""', "\0")
    return cell if '"' in inside else inside.replace("\0", '"')


def _csv_rows(lines: Iterable[PhysicalLine]) -> Iterator[Row]:
    """Rows with the line where each starts: quoted fields may span lines."""
    # The limit is the process's; nobody else here reads CSV.
    csv.field_size_limit(MAX_LINE_BYTES)
    decoded = _decoded(lines)
    first = next(decoded, None)
    if first is None:
        return
    reader = csv.reader(_texts(first, decoded), delimiter=_delimiter(first[1]), strict=True)
    start = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        if str(error).startswith(_LONE_RETURN):
            raise _Unreadable(lone_return(start)) from None
        problem = Problem("row", f"is not valid CSV ({error})", "Close every double quote, and double those inside")
        raise _Unreadable(_at(problem, start)) from None


def _texts(first: tuple[int, str], rest: Iterator[tuple[int, str]]) -> Iterator[str]:
    yield first[1]
    for _, text in rest:
        yield text


def _delimiter(header: str) -> str:
    """Comma, unless the header has more of what some spreadsheets write in its place."""
    return max(_DELIMITERS, key=header.count)


def _at(problem: Problem, line: int) -> Problem:
    return Problem(problem.field, problem.reason, problem.remedy, line=line)
