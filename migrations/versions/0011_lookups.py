"""Indexes for the lists of big books: what waits, and what has ended, of a project and deployment; a batch's newest.

Revision: 0011, after 0010.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Each state of a job has an index of its own, so that a job is entered where it comes to rest and not at every step.
INDEXES = {
    "ix_jobs_queued": "(project_id, deployment_id, id) WHERE state = 'queued'",
    "ix_jobs_blocked": "(project_id, id) WHERE state = 'blocked'",
    "ix_jobs_ended": """(project_id, deployment_id, id)
        WHERE state IN ('succeeded', 'failed', 'cancelled', 'expired')""",
    # With all that they are counted by: ten thousand of them, read from all over the table, take a second.
    "ix_jobs_unsuccessful_of_project": """(project_id, id) INCLUDE (state, deployment_id, batch_id, error_code)
        WHERE state IN ('failed', 'cancelled', 'expired')""",
    "ix_jobs_of_batch": "(batch_id, id) WHERE batch_id IS NOT NULL",
}


def upgrade() -> None:
    for name, definition in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON jobs {definition}")
    # Single jobs are of no batch, and nobody looks for them there.
    op.execute("DROP INDEX ix_jobs_batch")
    op.execute("CREATE INDEX ix_jobs_batch ON jobs (batch_id, line_no) WHERE batch_id IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX ix_jobs_batch")
    op.execute("CREATE INDEX ix_jobs_batch ON jobs (batch_id, line_no)")
    for name in reversed(INDEXES):
        op.execute(f"DROP INDEX {name}")
