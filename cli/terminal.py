"""What goes to the terminal: results to stdout, everything else to stderr, colour only where somebody looks."""

import json
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import typer

from cli.exits import ExitCode

_GAP = 2
_LEAST_NAME = 24


def say(text: str = "") -> None:
    """A line about what is going on. Never on stdout, which belongs to results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def complain(text: str) -> None:
    """An error, as plain sentences."""
    say(f"pressroom: {text}")


def answer(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(f"{text}\n")


def answer_json(value: Any) -> None:
    """The result for a machine: one JSON document."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=None) + "\n")


def is_interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirmed(question: str, *, yes: bool, default: bool = False) -> bool:
    """Ask on a terminal; elsewhere only `yes` is consent."""
    if yes:
        return True
    if not is_interactive():
        return False
    return typer.confirm(question, default=default, err=True)


def not_agreed(what: str) -> typer.Exit:
    """Say that nothing was done; raise the result. Nobody there to be asked is a wrong command line, a no is not."""
    asked = is_interactive()
    say(what if asked else f"{what} (give --yes where nobody can be asked)")
    return typer.Exit(ExitCode.DECLINED if asked else ExitCode.BAD_INPUT)


def answer_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), spare: Sequence[str] = ()
) -> None:
    """A table: drawn by Rich on a terminal, aligned plain text elsewhere. Columns in `right` are flush right.

    On a narrow terminal those of `spare` are left out, in that order, before the first column is cut.
    """
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        kept, fitting = fit(columns, rows, width, spare=spare) if spare else (columns, rows)
        _draw(kept, fitting, right, whole_first=bool(spare))
        if left_out := [name for name in columns if name not in kept]:
            say(f"too narrow for {', '.join(left_out)} (--json has everything)")
        return
    for line in plain_table(columns, rows, right=right):
        answer(line)


def fit(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, spare: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """The table in so many characters: without columns of `spare` from its beginning on, as few as will do.

    If that is not enough the first column's cells lose their middle, and stay told apart by both ends.
    """
    kept = list(columns)
    cells = [list(row) for row in rows]
    for name in spare:
        if _width(kept, cells) <= width:
            break
        at = kept.index(name)
        for row in [kept, *cells]:
            del row[at]
    others = _width(kept[1:], [row[1:] for row in cells]) + _GAP
    room = max(_LEAST_NAME, width - others)
    return kept, [[_without_middle(row[0], room), *row[1:]] for row in cells]


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    return sum(widths) + _GAP * (len(widths) - 1)


def _without_middle(name: str, room: int) -> str:
    if len(name) <= room:
        return name
    end = (room - 1) * 2 // 3
    return f"{name[: room - 1 - end]}…{name[-end:]}"


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> list[str]:
    """The lines of a table, columns two spaces apart, without trailing space."""
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    lines = []
    for row in [columns, *rows]:
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def is_terminal_error() -> bool:
    """Whether somebody watches stderr."""
    return sys.stderr.isatty()


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str], *, whole_first: bool) -> None:
    # Rich takes longer to import than most commands take to run.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        longest = max((len(row[number]) for row in rows), default=0) if whole_first and number == 0 else None
        justify: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(name, justify=justify, no_wrap=name in right, min_width=longest)
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)


_STYLES = {
    "succeeded": "green",
    "completed": "green",
    "ok": "green",
    "failed": "red",
    "FAILED": "bold red",
    "paused": "yellow",
    "running": "cyan",
    "SANDBOX": "magenta",
}


def _plain(value: Any) -> Any:
    """Exact money as a string, times in ISO 8601, ids as they are."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
