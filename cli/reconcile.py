"""`pressroom costs reconcile` and `settle`: our books against the provider's, and what is at risk put right."""

from __future__ import annotations

import shlex
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import load_settings, open_system
from cli.exits import ExitCode
from cli.options import Json, examples, program
from cli.terminal import answer, answer_json, answer_table, say
from cli.wording import count, moment, parse_usd, usd

if TYPE_CHECKING:
    from pressroom.jobs.at_risk import Settled
    from pressroom.jobs.reconcile import Applied, Comparison
    from pressroom.money.reconciling import Line, Tolerance

_COLUMNS = ("DAY", "MODEL", "OURS", "AT RISK", "PROVIDER", "DIFFERENCE", "CALLS", "THEIRS", "")
_RIGHT = ("OURS", "AT RISK", "PROVIDER", "DIFFERENCE", "CALLS", "THEIRS")
_SAID = {"same": "", "at_risk": "within what is at risk"}


def add_to(group: typer.Typer) -> None:
    """Add both to `costs`."""
    group.command(
        "reconcile",
        short_help="Compare the books with the provider's export.",
        epilog=examples(
            "pressroom costs reconcile costs.csv",
            "pressroom costs reconcile usage.json --provider-project proj_123 --tolerance 2 --json",
            "pressroom costs reconcile costs.csv --apply",
        ),
    )(reconcile)
    group.command(
        "settle",
        short_help="Say what a call without an answer cost.",
        epilog=examples(
            "pressroom costs settle job_019… --not-billed --note 'timed out, not on the invoice'",
            "pressroom costs settle att_019… --usd 0.0125",
        ),
    )(settle)


def reconcile(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="The provider's export of usage or costs, CSV or JSON, grouped by model or line item.",
        ),
    ],
    *,
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider", metavar="URL", help="Whose calls; or sandbox. [default: OPENAI_BASE_URL, or api.openai.com]"
        ),
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", metavar="NAME", help="Of one account there; all if not given.")
    ] = None,
    provider_project: Annotated[
        list[str] | None,
        typer.Option("--provider-project", metavar="ID", help="Only these of the provider's projects (proj_…)."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, max=100, metavar="PERCENT", help="How far off is still the same.")
    ] = 1.0,
    apply: Annotated[
        bool, typer.Option("--apply", help="Settle by the file what is at risk on days that are over.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the provider's account of a period with our books, by day (UTC) and model.

    Ends with 1 when they differ by more than the tolerance and what is at risk. --apply posts what the provider's
    total exceeds ours by on the calls at risk, oldest first; the rest of them was not billed. A file counts once.
    """
    from pressroom.jobs.reconcile import Scope, apply_file, compare_file
    from pressroom.settings import SANDBOX

    with open_system(load_settings(ctx.obj)) as system:
        address = provider if provider is not None else system.settings.openai_base_url
        base_url = SANDBOX if address == SANDBOX.rstrip(":") else address.rstrip("/")
        scope = Scope(base_url, account, tuple(provider_project or ()), _tolerance(tolerance))
        with system.engine.begin() as conn:
            found = compare_file(conn, file, scope)
            applied = apply_file(conn, found, scope) if apply else None
            if applied is not None and applied.settled:
                found = compare_file(conn, file, scope)
    again = ["costs", "reconcile", str(file)]
    again += ["--provider", provider] if provider is not None else []
    again += ["--account", account] if account is not None else []
    again += [part for one in provider_project or () for part in ("--provider-project", one)]
    if as_json:
        answer_json(_record(found, applied))
    else:
        _show(found, applied, command=f"{program()} {shlex.join(again)}")
    raise typer.Exit(ExitCode.SOME_FAILED if found.differs else ExitCode.OK)


def settle(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="JOB|CALL", help="A job's id, or that of one of its calls (att_…).")],
    *,
    cost: Annotated[str | None, typer.Option("--usd", metavar="USD", help="What the call cost.")] = None,
    not_billed: Annotated[bool, typer.Option("--not-billed", help="It cost nothing.")] = False,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Why; kept with it.")] = None,
    as_json: Json = False,
) -> None:
    """Say what a call without an answer cost: it is on the books then, no longer at risk, and budgets follow.

    With a job's id: all its calls at risk, if they were not billed; its only one, if it was.
    """
    from pressroom.jobs.at_risk import settle_by_hand

    amount = _amount(cost, not_billed=not_billed)
    with open_system(load_settings(ctx.obj)) as system, system.engine.begin() as conn:
        settled = settle_by_hand(conn, what, amount, note=note)
    if as_json:
        answer_json([_settled_record(one) for one in settled])
        return
    from pressroom.ids import show_id

    for one in settled:
        answer(
            f"{show_id('att', one.attempt_id)} of {show_id('job', one.job_id)}: {usd(one.cost_usd)}, no longer "
            f"{usd(one.at_risk_usd)} at risk"
        )


def _amount(typed: str | None, *, not_billed: bool) -> Decimal:
    from pressroom.errors import InvalidInput, Problem

    if not_billed == (typed is not None):
        remedy = "Give --usd with what the call cost, or --not-billed"
        raise InvalidInput([Problem("costs settle", "needs one of --usd and --not-billed", remedy)])
    return Decimal(0) if typed is None else parse_usd("--usd", typed)


def _tolerance(percent: float) -> Tolerance:
    from pressroom.money.reconciling import Tolerance

    return Tolerance(share=Decimal(str(percent)) / 100)


def _record(found: Comparison, applied: Applied | None) -> dict[str, Any]:
    from pressroom.jobs.reconcile import line_record

    return {
        "file": found.file_name,
        "sha256": found.sha256,
        "first_day": found.first_day.isoformat(),
        "last_day": found.last_day.isoformat(),
        "differs": found.differs,
        "booked_usd": found.booked_usd,
        "at_risk_usd": found.at_risk_usd,
        "exported_usd": found.exported_usd,
        "lines": [line_record(line) for line in found.lines],
        "ignored": found.ignored,
        "applied": None
        if applied is None
        else {
            "settled": [_settled_record(one) for one in applied.settled],
            "posted_usd": applied.posted_usd,
            "voided_usd": applied.voided_usd,
            "left_alone": list(applied.left_alone),
        },
    }


def _settled_record(one: Settled) -> dict[str, Any]:
    from pressroom.ids import show_id

    return {
        "attempt_id": show_id("att", one.attempt_id),
        "job_id": show_id("job", one.job_id),
        "was_at_risk_usd": one.at_risk_usd,
        "cost_usd": one.cost_usd,
    }


def _show(found: Comparison, applied: Applied | None, *, command: str) -> None:
    answer_table(_COLUMNS, [_cells(line) for line in found.lines], right=_RIGHT)
    answer(
        f"{found.first_day} to {found.last_day}: ours {usd(found.booked_usd)}, at risk {usd(found.at_risk_usd)}, "
        f"provider's {usd(found.exported_usd)}"
    )
    for kind, results in sorted(found.ignored.items()):
        say(f"not compared: {count(results, 'result')} of kind {kind}, of which Pressroom makes no calls")
    if applied is not None:
        _show_applied(found, applied)
    elif found.at_risk_usd and found.applied_at is None:
        say(f"settle what is at risk by this file with: {command} --apply")


def _show_applied(found: Comparison, applied: Applied) -> None:
    if found.applied_at is not None and not applied.settled:
        answer(f"this file was applied on {moment(found.applied_at)}; nothing was changed")
        return
    answer(
        f"{count(len(applied.settled), 'call')} settled: {usd(applied.posted_usd)} posted, "
        f"{usd(applied.voided_usd)} not billed"
    )
    for model in applied.left_alone:
        say(f"{model}: left at risk, for the file has no costs of it ({program()} costs settle does it by hand)")


def _cells(line: Line) -> list[str]:
    off = f"DIFFERS: {', '.join(line.off)}" if line.off else _SAID.get(line.verdict.value, "")
    return [
        line.day.isoformat(),
        line.model,
        usd(line.booked.usd),
        usd(line.booked.at_risk_usd),
        usd(line.exported.usd),
        usd(line.difference_usd),
        f"{line.booked.calls:,}",
        "-" if line.exported.calls is None else f"{line.exported.calls:,}",
        off,
    ]
