"""Prices that can be corrected within a day, and what settles cost at risk.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KEY = ["model", "service_tier", "effective_from", "origin"]
_USD = sa.Numeric(precision=20, scale=10)


def upgrade() -> None:
    op.drop_constraint("uq_prices_model_service_tier_effective_from_origin", "prices", type_="unique")
    op.create_index("uq_prices_catalog", "prices", _KEY, unique=True, postgresql_where=sa.text("origin = 'catalog'"))
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("exported_usd", _USD, nullable=False),
        sa.Column("booked_usd", _USD, nullable=False),
        sa.Column("at_risk_usd", _USD, nullable=False),
        sa.Column("posted_usd", _USD, nullable=False),
        sa.Column("voided_usd", _USD, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
        sa.UniqueConstraint("sha256", name=op.f("uq_reconciliations_sha256")),
    )
    op.create_table(
        "settlements",
        sa.Column("attempt_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("reconciliation_id", sa.UUID(), nullable=True),
        sa.Column("at_risk_usd", _USD, nullable=False),
        sa.Column("cost_usd", _USD, nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"], ["reconciliations.id"], name=op.f("fk_settlements_reconciliation_id")
        ),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_settlements")),
    )
    op.create_index(op.f("ix_settlements_reconciliation_id"), "settlements", ["reconciliation_id"])
    op.add_column("daily_costs", sa.Column("answered", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.execute(
        "UPDATE daily_costs d SET answered = t.n FROM (SELECT (a.finished_at AT TIME ZONE 'UTC')::date AS day,"
        " j.project_id, a.deployment_id, count(*) AS n FROM attempts a JOIN jobs j ON j.id = a.job_id"
        " WHERE a.outcome = 'succeeded' GROUP BY 1, 2, 3) t"
        " WHERE (d.day, d.project_id, d.deployment_id) = (t.day, t.project_id, t.deployment_id)"
    )


def downgrade() -> None:
    op.drop_column("daily_costs", "answered")
    op.drop_index(op.f("ix_settlements_reconciliation_id"), "settlements")
    op.drop_table("settlements")
    op.drop_table("reconciliations")
    op.drop_index("uq_prices_catalog", "prices")
    op.create_unique_constraint(op.f("uq_prices_model_service_tier_effective_from_origin"), "prices", _KEY)
