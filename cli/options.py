"""Options that mean the same in every command."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

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


def typed_again(arguments: Sequence[str]) -> str:
    """The command as it was typed, to take the same input up again: without what would submit it anew."""
    return shlex.join(["pressroom", *(word for word in arguments[1:] if word != "--again")])
