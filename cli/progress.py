"""A batch in motion, on stderr: a live display on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cli.terminal import say
from cli.wording import count, duration, quantity, shortened, usd

if TYPE_CHECKING:
    from pressroom.jobs.progress import QuotaUse
    from pressroom.jobs.queries import BatchProgress

_PLAIN_EVERY_SECONDS = 5.0
SANDBOX_BANNER = "SANDBOX: a local stand-in answers, not OpenAI; answers are made up and nothing is billed"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is shown at one moment. `seconds_left` is None while nothing moves."""

    seen: BatchProgress
    elapsed_seconds: float
    per_second: float
    seconds_left: float | None
    quotas: Sequence[QuotaUse]


class ProgressView(Protocol):
    """Somewhere to show snapshots."""

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest."""

    def close(self) -> None:
        """Leave the last one standing."""


def progress_view(*, on_terminal: bool) -> ProgressView:
    """The one that suits stderr."""
    return LiveView() if on_terminal else PlainView()


class PlainView:
    """A line every few seconds, and one at the end."""

    def __init__(self, every_seconds: float = _PLAIN_EVERY_SECONDS) -> None:
        self._every_seconds = every_seconds
        self._due = time.monotonic()
        self._unshown: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Print it when it is time."""
        self._unshown = snapshot
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self._every_seconds
            self.close()

    def close(self) -> None:
        """Print what was not."""
        if self._unshown is not None:
            say(plain_line(self._unshown))
            self._unshown = None


def plain_line(snapshot: Snapshot) -> str:
    """Everything in one line."""
    parts = [f"{duration(snapshot.elapsed_seconds):>8}", counts(snapshot), pace(snapshot), money(snapshot)]
    parts += [quota(use) for use in snapshot.quotas]
    return "  ".join([*parts, *budgets(snapshot)])


def counts(snapshot: Snapshot) -> str:
    """`812/1,600 done, 3 failed, 120 running, 665 queued`."""
    seen, batch = snapshot.seen, snapshot.seen.batch
    parts = [
        f"{batch.done:,}/{count(batch.total, 'job')} done",
        f"{batch.failed:,} failed",
        f"{seen.running:,} running",
    ]
    parts.append(f"{seen.queued + seen.leased:,} queued")
    if seen.waiting:
        parts.append(f"{seen.waiting:,} waiting to retry")
    return ", ".join(parts)


def pace(snapshot: Snapshot) -> str:
    """`85.2 jobs/s, ETA 9 s`."""
    left = snapshot.seconds_left
    eta = "" if not snapshot.seen.batch.unfinished else f", ETA {duration(left) if left is not None else '?'}"
    return f"{snapshot.per_second:,.1f} jobs/s{eta}"


def money(snapshot: Snapshot) -> str:
    """`$13.44 (+ $0.02 at risk)`."""
    batch = snapshot.seen.batch
    risk = f" (+ {usd(batch.at_risk_usd)} at risk)" if batch.at_risk_usd else ""
    label = " SANDBOX" if batch.is_sandbox else ""
    return f"{usd(batch.cost_usd)}{label}{risk}"


def budgets(snapshot: Snapshot) -> list[str]:
    """`waits for money: day budget of project acme: $4.98 of $5.00 spent, $0.02 reserved; starts anew …`."""
    return [f"{'waits for money: ' if b.waiting_jobs else ''}{b.name}: {b.used}" for b in snapshot.seen.budgets]


def quota(use: QuotaUse) -> str:
    """`dall-e-2 99 % of 1,500 ipm`."""
    if use.stopped is not None:
        return f"{use.model} stopped: {shortened(use.stopped)}"
    refused = f" ({use.rejected:,} × 429)" if use.rejected else ""
    if use.dimension is None:
        return f"{use.model} no limit{refused}"
    return f"{use.model} {use.share:.0%} of {quantity(use.limit, measured=use.measured)} {use.dimension}{refused}"


class LiveView:
    """Redrawn in place with Rich."""

    def __init__(self) -> None:
        from rich.console import Console  # takes longer to import than `--help` may take
        from rich.live import Live

        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=False)
        self._live.start()

    def show(self, snapshot: Snapshot) -> None:
        """Redraw."""
        self._live.update(_drawn(snapshot))

    def close(self) -> None:
        """Stop redrawing."""
        self._live.stop()


def _drawn(snapshot: Snapshot) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    batch = snapshot.seen.batch
    share = batch.done / batch.total if batch.total else 1.0
    bar = Table.grid(padding=(0, 1))
    style = "green" if not batch.failed else "yellow"
    bar.add_row(ProgressBar(total=batch.total, completed=batch.done, width=50, complete_style=style), f"{share:.0%}")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_row("jobs", counts(snapshot))
    facts.add_row("pace", f"{pace(snapshot)}, {duration(snapshot.elapsed_seconds)} so far")
    facts.add_row("cost", money(snapshot))
    for use in snapshot.quotas:
        facts.add_row("quota", _quota_text(use))
    for said in budgets(snapshot):
        facts.add_row("budget", said)
    title = Text(batch.input_name, style="bold")
    banner = [Text(SANDBOX_BANNER, style="magenta")] if batch.is_sandbox else []
    return Group(*banner, title, bar, facts)


def _quota_text(use: QuotaUse) -> Any:
    from rich.text import Text

    filled = round(min(1.0, use.share) * 20)
    style = "red" if use.stopped or use.rejected else "cyan"
    return Text.assemble(("━" * filled, style), ("━" * (20 - filled), "grey37"), f" {quota(use)}")
