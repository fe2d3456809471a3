"""Options that mean the same in every command."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

_NAME = "pressroom"

Project = Annotated[
    str | None,
    typer.Option(
        "--project", envvar="PRESSROOM_PROJECT", metavar="NAME", help="Whose jobs; the default project if not given."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of text.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most this many, newest first.")]
Before = Annotated[str | None, typer.Option("--before", metavar="ID", help="Continue a list after this id.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="From this time on: 2026-11-24, or 90m, 2h, 7d ago.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this time; written like --since.")]
Workers = Annotated[int, typer.Option("--workers", min=1, max=256, metavar="N", help="Worker processes to start.")]
InputFile = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT",
        exists=True,
        dir_okay=False,
        readable=True,
        help="An OpenAI Batch file (.jsonl), or prompts: .txt (one a line), .csv, .tsv.",
    ),
]


def examples(*lines: str) -> str:
    """The end of a `--help`: commands to copy."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def program(started_as: str | None = None) -> str:
    """What to type to start this program: its name where the PATH leads to it, else the path that was used."""
    used = Path(started_as if started_as is not None else sys.argv[0])
    if used.name != _NAME or not used.is_file():
        return _NAME  # started some other way, as tests do
    found = shutil.which(_NAME)
    on_path = found is not None and os.path.samefile(found, used)
    return _NAME if on_path else shlex.quote(str(used))


def typed_again(arguments: Sequence[str]) -> str:
    """The command as it was typed, to take the same input up again: without what would submit it anew."""
    again = shlex.join(word for word in arguments[1:] if word != "--again")
    return f"{program(arguments[0])} {again}"
