"""`pressroom submit`: hand an input over to a system that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import load_settings, open_system
from cli.input_options import BatchOptions, InputOptions
from cli.option_groups import grouped
from cli.options import InputFile, Json, Yes, examples, program
from cli.terminal import answer, answer_json, say
from cli.wording import count, usd

if TYPE_CHECKING:
    from pressroom.batches.ingest import IngestedBatch


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Put an input on the books and return.",
        epilog=examples(
            "pressroom submit batch.jsonl --class bulk --budget 5.00",
            "pressroom submit prompts.txt --model gpt-4o-mini --max-tokens 200 --metadata team=prints --json",
        ),
    )(submit)


@grouped
def submit(
    ctx: typer.Context,
    *,
    input_: InputFile,
    again: Annotated[bool, typer.Option("--again", help="Submit and pay anew an input that is there already.")] = False,
    inputs: InputOptions,
    batch: BatchOptions,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put an input on the books and return. Workers (`pressroom up`, `pressroom worker`) do the rest.

    A bad line refuses the whole input, before anything is stored or spent. So does an input that was submitted
    before, unless --again is given. What it would cost is shown first, and asked about above
    PRESSROOM_CONFIRM_ABOVE_USD.
    """
    from cli.consent import consent
    from pressroom.batches.ingest import find_batches, fingerprint, ingest
    from pressroom.batches.originals import store_input
    from pressroom.errors import Conflict
    from pressroom.ids import show_id
    from pressroom.jobs.deadlines import deadline_warning
    from pressroom.jobs.dispatch import DispatchPolicy, dispatch
    from pressroom.jobs.workers import alive

    settings = load_settings(ctx.obj)
    prompts = inputs.prompt_options()
    mark = fingerprint(input_, prompts, settings.provider)
    with open_system(settings) as system:
        options = batch.ingest_options(system.engine, system.settings)
        with system.engine.connect() as conn:
            known = [] if again else find_batches(conn, options.project_id, mark)
        if known:
            raise Conflict(
                f"this input is there already as {show_id('batch', known[0].id)} ({known[0].state.value}); "
                "--again submits it anew and pays anew"
            )
        new = ingest(
            system.engine,
            input_,
            prompt_options=prompts,
            options=options,
            fingerprint=mark,
            review=consent(system.settings, yes=yes, budget_usd=options.budget_usd),
        )
        store_input(system.engine, system.store, input_, new.id)
        dispatch(system.engine, system.publisher, DispatchPolicy.of(system.settings))
        with system.engine.connect() as conn:
            idle = not alive(conn)
            late = deadline_warning(conn, new.id) if options.deadline is not None else None
    if idle:
        say(f"no worker runs: the jobs stay queued until `{program()} up` or `{program()} worker` does")
    if late is not None:
        say(late)
    _show(new, is_sandbox=settings.uses_sandbox, as_json=as_json)


def _show(new: IngestedBatch, *, is_sandbox: bool, as_json: bool) -> None:
    from pressroom.ids import show_id

    shown = show_id("batch", new.id)
    if as_json:
        record = {"batch_id": shown, "total": new.total, "models": new.models, "sandbox": is_sandbox}
        answer_json({**record, "est_cost_usd": new.est_cost_usd, "expected_usd": new.expected_usd})
        return
    label = "SANDBOX, nothing will be billed" if is_sandbox else f"{usd(new.est_cost_usd)} at most"
    answer(f"{shown}: {count(new.total, 'job')}, about {usd(new.expected_usd)} ({label})")
    say(f"watch it with: {program()} batches show {shown}")
