"""Up to where the outbox is settled: no event with an id up to there is still to appear.

Ids are given out in order and committed in any. A reader that simply took the highest id it saw as its place would lose
what commits later under a lower one. The usual guard, the oldest running transaction, would hold up everybody while one
project takes a large file in. So writers of events, and only they, hold a shared lock from before their first id until
their commit is visible (migrations/versions/0010), and a reader waits for those it has seen.
"""

from dataclasses import dataclass, field

from sqlalchemy import Connection, text

_LOCK = (1702250867, 1)

_LAST = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq")

_WRITERS = text(
    f"""
    SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND classid = {_LOCK[0]} AND objid = {_LOCK[1]}
      AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """  # noqa: S608  (two numbers)
)


@dataclass(slots=True)
class Horizon:
    """One reader's view of it. `advance` at every turn; never goes back."""

    position: int = 0
    _ahead: int = 0
    _writers: frozenset[str] = field(default=frozenset())

    def advance(self, conn: Connection) -> int:
        """The highest id up to which all that will ever be visible is visible to the next statement.

        Each statement must see what is committed when it begins: not within a repeatable read transaction. Two cheap
        questions, neither of which reads the table.
        """
        if self._ahead == self.position:
            # The id first: whoever took the lock later was given a higher one.
            self._ahead = max(self.position, int(conn.execute(_LAST).scalar_one()))
            if self._ahead == self.position:
                return self.position
            self._writers = self._holders(conn)
        elif self._writers:
            self._writers &= self._holders(conn)
        if not self._writers:
            self.position = self._ahead
        return self.position

    @property
    def is_settled(self) -> bool:
        """Whether `position` is the newest id that was known at the last turn: nothing is waited for."""
        return self.position == self._ahead

    @staticmethod
    def _holders(conn: Connection) -> frozenset[str]:
        return frozenset(conn.execute(_WRITERS).scalars())
