"""The `pressroom` command: its name, its help and its errors. Each command is in a module of its own."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli import (
    alerts,
    batches,
    budgets,
    costs,
    demo,
    deployments,
    doctor,
    estimate,
    jobs,
    keys,
    prices,
    projects,
    routes,
    run,
    servers,
    submit,
    webhooks,
)
from cli.exits import EXPLAINED, explain
from cli.options import examples
from cli.terminal import complain

_ENVIRONMENT = """\b
Environment:
  OPENAI_API_KEY, OPENAI_BASE_URL   the provider; without a key the sandbox is used, and everything says so
  PRESSROOM_DATABASE_URL            PostgreSQL, as postgresql+psycopg://user:password@host/name
  PRESSROOM_REDIS_URL               Redis or Valkey, as redis://:password@host:6379/0
  PRESSROOM_S3_BUCKET               the bucket; PRESSROOM_S3_ENDPOINT_URL and AWS_* credentials as boto3 reads them
  PRESSROOM_DATA_DIR                the local stack, which stands in for whatever of these is not set (.pressroom)"""


class _Group(TyperGroup):
    """Ends foreseen errors in a plain sentence and a named exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise  # a reader that has seen enough (`| head`) is nobody's error: Typer ends quietly
        except (Exception, KeyboardInterrupt) as error:
            explained = explain(error)
            if explained is None:
                raise
            message, code = explained
            complain(message)
            raise typer.Exit(int(code)) from None


app = typer.Typer(
    name="pressroom",
    cls=_Group,
    help="Run image and text jobs on OpenAI models in volume: no job lost, no quota wasted, every cent on the books.",
    epilog="\n\n".join(
        [
            examples(
                "pressroom run prompts.jsonl --output answers.jsonl",
                "pressroom run prompts.txt --model dall-e-2 --size 256x256 --artifacts pictures/",
                "pressroom jobs list --state failed",
                "pressroom doctor",
            ),
            _ENVIRONMENT,
            "\b\nExit codes:\n" + "\n".join(f"  {code.value:<3}  {text}" for code, text in EXPLAINED.items()),
        ]
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # Rich would take most of the time that --help may take
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # slow to import, rarely needed

        typer.echo(f"pressroom {version('pressroom')}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    *,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="PRESSROOM_DATA_DIR",
            metavar="DIR",
            help="Where the local stack keeps its data. [default: .pressroom]",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    ctx.obj = data_dir


for module in (
    run,
    estimate,
    demo,
    submit,
    servers,
    batches,
    jobs,
    costs,
    prices,
    projects,
    keys,
    budgets,
    deployments,
    routes,
    alerts,
    webhooks,
    doctor,
):
    module.add_to(app)


def main() -> None:
    """The console script."""
    app()
