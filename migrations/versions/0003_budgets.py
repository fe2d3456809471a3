"""Budgets, and the money held against them.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_USD = sa.Numeric(precision=20, scale=10)

# As in models/job.py when this was written.
PARKED_UNTIL = "9999-01-01 00:00:00+00"

# Reservations cannot lift a window above its cap, whoever writes. What a call really cost is always booked, and a cap
# may be lowered below what is spent: both leave `reserved_usd` as it is or lower it.
# The condition is in the trigger, so a lawful update never calls the function.
GUARD = """
CREATE FUNCTION refuse_overspending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'budget window %: % spent and % reserved exceed the cap of %',
    NEW.id, NEW.spent_usd, NEW.reserved_usd, NEW.cap_usd USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER budget_windows_hold BEFORE UPDATE OF reserved_usd ON budget_windows FOR EACH ROW
WHEN (NEW.reserved_usd > OLD.reserved_usd AND NEW.spent_usd + NEW.reserved_usd > NEW.cap_usd)
EXECUTE FUNCTION refuse_overspending();
"""


def upgrade() -> None:
    _create_budgets()
    _create_holds()
    op.add_column("jobs", sa.Column("api_key_id", sa.UUID(), nullable=True))
    op.add_column("jobs", sa.Column("waiting_budget_id", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_jobs_over_budget",
        "jobs",
        ["waiting_budget_id", "priority", "deadline", "id"],
        postgresql_where=sa.text("state = 'queued' AND waiting_budget_id IS NOT NULL"),
    )
    op.add_column("flows", sa.Column("blocked_by", sa.BigInteger(), nullable=True))
    op.create_index("ix_flows_blocked_by", "flows", ["blocked_by"], postgresql_where=sa.text("blocked_by IS NOT NULL"))
    op.execute(GUARD)


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("scope", sa.Enum("installation", "project", "batch", "api_key", name="budget_scope"), nullable=False),
        sa.Column("scope_id", sa.UUID(), nullable=True),
        sa.Column("period", sa.Enum("total", "day", "month", name="budget_period"), nullable=False),
        sa.Column("cap_usd", _USD, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("cap_usd >= 0", name=op.f("ck_budgets_cap_not_negative")),
        sa.CheckConstraint("(scope = 'installation') = (scope_id IS NULL)", name=op.f("ck_budgets_scope_has_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
        sa.UniqueConstraint(
            "scope",
            "scope_id",
            "period",
            name=op.f("uq_budgets_scope_scope_id_period"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "budget_windows",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("budget_id", sa.BigInteger(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_sandbox", sa.Boolean(), nullable=False),
        sa.Column("cap_usd", _USD, nullable=False),
        sa.Column("opening_usd", _USD, server_default=sa.text("0"), nullable=False),
        sa.Column("spent_usd", _USD, server_default=sa.text("0"), nullable=False),
        sa.Column("reserved_usd", _USD, server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("spent_usd >= 0 AND reserved_usd >= 0", name=op.f("ck_budget_windows_not_negative")),
        sa.ForeignKeyConstraint(
            ["budget_id"], ["budgets.id"], name=op.f("fk_budget_windows_budget_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_windows")),
        sa.UniqueConstraint(
            "budget_id", "starts_at", "is_sandbox", name=op.f("uq_budget_windows_budget_id_starts_at_is_sandbox")
        ),
        postgresql_with={
            "fillfactor": "20",
            "autovacuum_vacuum_scale_factor": "0",
            "autovacuum_vacuum_threshold": "500",
        },
    )


def _create_holds() -> None:
    op.create_table(
        "holds",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("held", "posted", "void", "uncertain", name="hold_state"),
            server_default=sa.text("'held'"),
            nullable=False,
        ),
        sa.Column("amount_usd", _USD, nullable=False),
        sa.Column("windows", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("actual_usd", _USD, nullable=True),
        sa.Column("is_estimate", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_holds_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_holds")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("ix_holds_held", "holds", ["job_id"], unique=True, postgresql_where=sa.text("state = 'held'"))
    op.create_index("ix_holds_uncertain", "holds", ["resolved_at"], postgresql_where=sa.text("state = 'uncertain'"))


def downgrade() -> None:
    # Parked jobs would wait for ever for budgets that are gone; ready ones start, and their flows must know.
    op.execute(
        "WITH ready AS (UPDATE jobs SET run_at = NULL WHERE state = 'queued' AND waiting_budget_id IS NOT NULL"
        f" AND run_at = '{PARKED_UNTIL}' RETURNING flow_id)"
        " UPDATE flows SET active = true WHERE id IN (SELECT flow_id FROM ready)"
    )
    op.execute("DROP TRIGGER budget_windows_hold ON budget_windows")
    op.execute("DROP FUNCTION refuse_overspending()")
    op.drop_index("ix_flows_blocked_by", table_name="flows", postgresql_where=sa.text("blocked_by IS NOT NULL"))
    op.drop_column("flows", "blocked_by")
    op.drop_index("ix_jobs_over_budget", table_name="jobs")
    op.drop_column("jobs", "waiting_budget_id")
    op.drop_column("jobs", "api_key_id")
    op.drop_table("holds")
    op.drop_table("budget_windows")
    op.drop_table("budgets")
    op.execute("DROP TYPE hold_state")
    op.execute("DROP TYPE budget_period")
    op.execute("DROP TYPE budget_scope")
