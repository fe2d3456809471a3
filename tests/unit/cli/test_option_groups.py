"""Groups of options: a dataclass parameter becomes its fields on the command line, and a value again in the command."""

from dataclasses import dataclass, field
from typing import Annotated

import typer
from typer.testing import CliRunner

from cli.option_groups import grouped


@dataclass(frozen=True)
class Paper:
    """A group."""

    width: Annotated[int, typer.Option("--width")] = 3
    colours: Annotated[list[str], typer.Option("--colour")] = field(default_factory=list)


def run(*arguments: str) -> tuple[int, str]:
    """What a command with a group and an option of its own prints."""
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @grouped
    def print_it(ctx: typer.Context, *, name: Annotated[str, typer.Option()], paper: Paper, bold: bool = False) -> None:
        typer.echo(f"{ctx.info_name is not None} {name} {paper} {bold}")

    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


def test_a_group_takes_its_defaults() -> None:
    assert run("--name", "a") == (0, "True a Paper(width=3, colours=[]) False\n")


def test_a_group_takes_what_was_given() -> None:
    given = ("--name", "a", "--width", "5", "--colour", "red", "--colour", "blue", "--bold")
    assert run(*given) == (0, "True a Paper(width=5, colours=['red', 'blue']) True\n")


def test_a_group_is_checked_like_any_option() -> None:
    code, output = run("--name", "a", "--width", "wide")
    assert code == 2
    assert "--width" in output
