"""Which learned limits were read off refusals, and when: a lost Redis forgot it.

Revision: 0012, after 0011.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE pools ADD COLUMN stated_limits jsonb NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE pools DROP COLUMN stated_limits")
