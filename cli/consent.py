"""What `run` and `submit` show and ask before an input is on the books."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from cli.estimate import in_short
from cli.terminal import confirmed, is_interactive, not_agreed, say
from cli.wording import duration, usd

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pressroom.jobs.estimate import InputEstimate
    from pressroom.settings import Settings

_THINKING_MINUTES = 15
"""How long a question may stand. The submission waits for it in its transaction, which the server cuts after a minute
by default; it holds nothing that anybody else waits for."""


def consent(
    settings: Settings, *, yes: bool, budget_usd: Decimal | None
) -> Callable[[Connection, InputEstimate], None]:
    """A review for `ingest` that shows what the input would cost, and asks where that may be much.

    Refuses with InvalidInput where nobody can be asked, exits where somebody declines: nothing is submitted then. The
    sandbox costs nothing, and so it is never asked about.
    """

    def review(conn: Connection, found: InputEstimate) -> None:
        for line in in_short(found):
            say(line)
        if found.is_sandbox or yes:
            return
        most = found.upper_usd if budget_usd is None else min(found.upper_usd, budget_usd)
        if most > settings.confirm_above_usd:
            _ask(conn, found, most, settings.confirm_above_usd)

    return review


def _ask(conn: Connection, found: InputEstimate, most: Decimal, above: Decimal) -> None:
    from sqlalchemy import text

    from pressroom.errors import InvalidInput, Problem

    if not is_interactive():
        reason = f"is needed for an input that may cost {usd(most)}: more than {usd(above)} is asked about"
        remedy = (
            "Give --yes, or a --budget, or raise PRESSROOM_CONFIRM_ABOVE_USD. Nothing was submitted, nothing was spent"
        )
        raise InvalidInput([Problem("--yes", reason, remedy)])
    conn.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{_THINKING_MINUTES}min'"))
    took = "" if found.seconds is None else f", {duration(found.seconds)}"
    question = f"Submit it? About {usd(found.expected_usd)}, {usd(most)} at most{took}."
    if not confirmed(question, yes=False):
        raise not_agreed("nothing was submitted, nothing was spent")
