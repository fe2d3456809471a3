"""A `custom_id` names one line of a batch. The first lines are compared in memory, all of them in the database."""

from uuid import UUID

from sqlalchemy import Connection, text

from pressroom.errors import Problem
from pressroom.operations.checks import shown

_DUPLICATES = text(
    """
    WITH twice AS MATERIALIZED (
      SELECT custom_id, min(line_no) AS first_line, count(*) AS n FROM jobs WHERE batch_id = :batch
      GROUP BY custom_id HAVING count(*) > 1
    ), shown AS (
      SELECT * FROM twice ORDER BY first_line LIMIT :limit
    )
    SELECT s.custom_id, s.first_line, j.line_no, (SELECT sum(n - 1) FROM twice)::bigint AS all_of_them
    FROM shown s JOIN jobs j ON j.batch_id = :batch AND j.custom_id = s.custom_id AND j.line_no > s.first_line
    ORDER BY j.line_no LIMIT :limit
    """
)


def duplicate(custom_id: str, first: int, line: int) -> Problem:
    """The same `custom_id` on two lines."""
    reason = f"was used on line {first} already"
    remedy = "Give every line a custom_id of its own: the output is found by it"
    return Problem("custom_id", reason, remedy, value=shown(custom_id), line=line, code="duplicate_custom_id")


def duplicates_in_table(conn: Connection, batch_id: UUID, *, limit: int) -> tuple[list[Problem], int]:
    """Problems of at most `limit` lines of a stored batch, and how many more there are."""
    rows = conn.execute(_DUPLICATES, {"batch": batch_id, "limit": limit}).all()
    problems = [duplicate(row.custom_id, row.first_line, row.line_no) for row in rows]
    return problems, (rows[0].all_of_them - len(problems) if rows else 0)
