"""Uploaded files, and batches as the provider's API shows them.

Revision: 0008, after 0007.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


# A type of its own in the old one's place: a value added to an enum cannot be used in the transaction that adds it,
# and none can be taken away again.
def _retype(values: str, using: str) -> None:
    op.execute("ALTER TYPE batch_state RENAME TO old_batch_state")
    op.execute(f"CREATE TYPE batch_state AS ENUM ({values})")
    op.execute(f"ALTER TABLE batches ALTER COLUMN state TYPE batch_state USING {using}::batch_state")
    op.execute("DROP TYPE old_batch_state")


COLUMNS = """
    ADD COLUMN endpoint text,
    ADD COLUMN model text,
    ADD COLUMN input_file_id uuid,
    ADD COLUMN output_file_id uuid NOT NULL DEFAULT uuidv7(),
    ADD COLUMN error_file_id uuid NOT NULL DEFAULT uuidv7(),
    ADD COLUMN output_expires_seconds integer,
    ADD COLUMN api_key_id uuid,
    ADD COLUMN completion_window text,
    ADD COLUMN deadline timestamptz,
    ADD COLUMN errors jsonb,
    ADD COLUMN usage jsonb,
    ADD COLUMN clerk_id uuid,
    ADD COLUMN clerk_until timestamptz,
    ADD COLUMN clerk_tries smallint NOT NULL DEFAULT 0,
    ADD COLUMN in_progress_at timestamptz,
    ADD COLUMN cancelling_at timestamptz,
    ADD COLUMN finalized_at timestamptz
"""

# One endpoint and model for all lines, or none; what was stored before began when it was created.
FILL = """
UPDATE batches b SET in_progress_at = b.created_at, endpoint = t.endpoint, model = t.model FROM (
  SELECT batch_id, CASE WHEN min(url) = max(url) THEN min(url) END AS endpoint,
    CASE WHEN min(d.model) = max(d.model) THEN min(d.model) END AS model
  FROM jobs JOIN deployments d ON d.id = jobs.deployment_id WHERE batch_id IS NOT NULL GROUP BY batch_id
) t WHERE t.batch_id = b.id
"""

FILES = """
CREATE TABLE files (
    id uuid NOT NULL CONSTRAINT pk_files PRIMARY KEY,
    project_id uuid NOT NULL CONSTRAINT fk_files_project_id REFERENCES projects (id),
    purpose text NOT NULL,
    filename text NOT NULL,
    content_type text NOT NULL,
    byte_size bigint NOT NULL,
    sha256 text NOT NULL,
    key text NOT NULL CONSTRAINT uq_files_key UNIQUE,
    batch_id uuid CONSTRAINT fk_files_batch_id REFERENCES batches (id),
    expires_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""

INDEXES = (
    "CREATE INDEX ix_batches_of_project ON batches (project_id, id)",
    "CREATE INDEX ix_batches_awaiting_clerk ON batches (id) WHERE state IN ('validating', 'cancelling')"
    " OR (input_file_id IS NOT NULL AND finished_at IS NOT NULL AND finalized_at IS NULL)",
    "CREATE UNIQUE INDEX ix_batches_output_file ON batches (output_file_id)",
    "CREATE UNIQUE INDEX ix_batches_error_file ON batches (error_file_id)",
    "CREATE INDEX ix_files_of_project ON files (project_id, id)",
    "CREATE INDEX ix_files_of_batch ON files (batch_id) WHERE batch_id IS NOT NULL",
    "CREATE INDEX ix_files_expiring ON files (expires_at) WHERE expires_at IS NOT NULL",
    "CREATE INDEX ix_files_deleted ON files (deleted_at) WHERE deleted_at IS NOT NULL",
)


def upgrade() -> None:
    _retype("'validating', 'failed', 'in_progress', 'cancelling', 'completed', 'cancelled'", "state::text")
    op.execute(f"ALTER TABLE batches {COLUMNS}")
    op.execute(FILL)
    op.execute(FILES)
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    op.execute("DROP TABLE files")
    for index in ("error_file", "output_file", "awaiting_clerk", "of_project"):
        op.execute(f"DROP INDEX ix_batches_{index}")
    names = [line.split()[2] for line in COLUMNS.splitlines() if line.strip()]
    op.execute("ALTER TABLE batches " + ", ".join(f"DROP COLUMN {name}" for name in names))
    # Batches without jobs, which the older program does not know: refused ones, and ones not yet looked at.
    op.execute("UPDATE batches SET finished_at = coalesce(finished_at, now()) WHERE state IN ('validating', 'failed')")
    _retype(
        "'in_progress', 'cancelling', 'completed', 'cancelled'",
        "(CASE WHEN state IN ('validating', 'failed') THEN 'cancelled' ELSE state::text END)",
    )
