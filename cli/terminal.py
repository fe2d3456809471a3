"""What goes to the terminal: results to stdout, everything else to stderr, colour only where somebody looks."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import typer


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


def answer_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """A table: drawn by Rich on a terminal, aligned plain text elsewhere. Columns in `right` are flush right."""
    if sys.stdout.isatty():
        _draw(columns, rows, right)
        return
    for line in plain_table(columns, rows, right=right):
        answer(line)


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


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    # Rich takes longer to import than most commands take to run.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=name in right)
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
