"""Stakes, and flows that can be moved and stopped as one.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CLASS = postgresql.ENUM("interactive", "normal", "bulk", name="priority_class", create_type=False)

# Every old flow becomes a stake, and what was in it a flow for each kind of job. Jobs that ended are asked for theirs
# when they are retried.
SPLIT = """
INSERT INTO stakes (pool_id, project_id, priority_class, weight, vtime, active)
SELECT pool_id, project_id, priority_class, weight, vtime, active FROM old_flows;

INSERT INTO flows (stake_id, pool_id, project_id, deployment_id, batch_id, priority, deadline, queued, active, paused,
  blocked_by, jobs_in, tokens_in, images_in)
SELECT s.id, o.pool_id, o.project_id, t.deployment_id, t.batch_id, t.priority, t.deadline, t.queued, t.queued > 0,
  o.paused, o.blocked_by, t.jobs, t.tokens, t.images
FROM (SELECT flow_id, deployment_id, batch_id, priority,
    date_trunc('minute', deadline + interval '59.999999 s') AS deadline,
    count(*) FILTER (WHERE state = 'queued') AS queued, count(*) AS jobs, sum(est_tokens) AS tokens,
    sum(est_images) AS images
  FROM jobs GROUP BY 1, 2, 3, 4, 5) t
JOIN old_flows o ON o.id = t.flow_id JOIN stakes s USING (pool_id, project_id, priority_class);

UPDATE jobs j SET flow_id = f.id FROM old_flows o, stakes s, flows f
WHERE o.id = j.flow_id AND (s.pool_id, s.project_id, s.priority_class) = (o.pool_id, o.project_id, o.priority_class)
  AND f.stake_id = s.id AND f.deployment_id = j.deployment_id AND f.priority = j.priority
  AND f.batch_id IS NOT DISTINCT FROM j.batch_id
  AND f.deadline IS NOT DISTINCT FROM date_trunc('minute', j.deadline + interval '59.999999 s');
"""

JOIN = """
INSERT INTO old_flows (pool_id, project_id, priority_class, weight, vtime, queued, active, paused)
SELECT s.pool_id, s.project_id, s.priority_class, s.weight, s.vtime,
  coalesce((SELECT sum(queued) FROM flows f WHERE f.stake_id = s.id), 0),
  EXISTS (SELECT 1 FROM flows f WHERE f.stake_id = s.id AND f.active),
  coalesce((SELECT bool_and(paused) FROM flows f WHERE f.stake_id = s.id), false) FROM stakes s;

UPDATE jobs j SET flow_id = o.id FROM flows f, stakes s, old_flows o
WHERE f.id = j.flow_id AND s.id = f.stake_id
  AND (s.pool_id, s.project_id, s.priority_class) = (o.pool_id, o.project_id, o.priority_class);
"""


def upgrade() -> None:
    op.execute("ALTER TABLE flows RENAME TO old_flows")
    _rename_constraints("flows", "old_flows")
    op.create_table(
        "stakes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("pool_id", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.UUID(), nullable=False),
        sa.Column("priority_class", CLASS, nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("vtime", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("weight > 0", name=op.f("ck_stakes_weight_positive")),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name=op.f("fk_stakes_pool_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_stakes_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stakes")),
        sa.UniqueConstraint(
            "pool_id", "project_id", "priority_class", name=op.f("uq_stakes_pool_id_project_id_priority_class")
        ),
        postgresql_with={"fillfactor": "50", "autovacuum_vacuum_scale_factor": "0"},
    )
    op.create_index("ix_stakes_by_vtime", "stakes", ["pool_id", "vtime"], postgresql_where=sa.text("active"))
    op.create_index(
        "ix_stakes_interactive",
        "stakes",
        ["pool_id", "vtime"],
        postgresql_where=sa.text("active AND priority_class = 'interactive'"),
    )
    _create_flows()
    op.drop_index("ix_jobs_ready", table_name="jobs")
    op.execute(SPLIT)
    op.drop_table("old_flows")
    op.create_index(
        "ix_jobs_ready",
        "jobs",
        ["flow_id", "id"],
        postgresql_where=sa.text("state = 'queued' AND run_at IS NULL"),
    )
    op.add_column("leases", sa.Column("job_seconds", sa.Double(), server_default=sa.text("0"), nullable=False))
    op.add_column("leases", sa.Column("urgent", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("UPDATE leases SET job_seconds = waiting_seconds / greatest(waiting, 1)")
    op.add_column("batches", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("projects", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("pools", sa.Column("strict_credit", sa.Double(), nullable=True))
    op.add_column("pools", sa.Column("late_credit", sa.Double(), nullable=True))


def _create_flows() -> None:
    op.create_table(
        "flows",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("stake_id", sa.BigInteger(), nullable=False),
        sa.Column("pool_id", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.UUID(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.UUID(), nullable=True),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queued", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("blocked_by", sa.BigInteger(), nullable=True),
        sa.Column("late", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("jobs_in", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("images_in", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["stake_id"], ["stakes.id"], name=op.f("fk_flows_stake_id")),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name=op.f("fk_flows_pool_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_flows_project_id")),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name=op.f("fk_flows_deployment_id")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_flows_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flows")),
        postgresql_with={"fillfactor": "50", "autovacuum_vacuum_scale_factor": "0.01"},
    )
    for name, columns, where in (
        (
            "ix_flows_in_turn",
            ["stake_id", "priority", "deadline", "id"],
            "active AND NOT paused AND blocked_by IS NULL",
        ),
        ("ix_flows_of_stake", ["stake_id", "deployment_id", "batch_id"], None),
        ("ix_flows_of_batch", ["batch_id"], "batch_id IS NOT NULL"),
        ("ix_flows_blocked_by", ["blocked_by"], "blocked_by IS NOT NULL"),
        ("ix_flows_due", ["pool_id", "deadline"], "active AND deadline IS NOT NULL"),
    ):
        op.create_index(name, "flows", columns, postgresql_where=sa.text(where) if where else None)


def _rename_constraints(table: str, new: str) -> None:
    """Names of constraints and indexes are the schema's: the old table's must make room for the new one's."""
    op.execute(
        f"""
        DO $$ DECLARE c record; BEGIN
          FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = '{new}'::regclass AND contype <> 'n' LOOP
            EXECUTE format('ALTER TABLE {new} RENAME CONSTRAINT %I TO %I', c.conname, 'old_' || c.conname);
          END LOOP;
          FOR c IN SELECT indexrelid::regclass::text AS conname FROM pg_index WHERE indrelid = '{new}'::regclass
              AND indexrelid::regclass::text LIKE 'ix_%' LOOP
            EXECUTE format('ALTER INDEX %I RENAME TO %I', c.conname, 'old_' || c.conname);
          END LOOP;
          EXECUTE 'ALTER SEQUENCE {table}_id_seq RENAME TO {new}_id_seq';
        END $$
        """
    )


def downgrade() -> None:
    op.drop_column("pools", "late_credit")
    op.drop_column("pools", "strict_credit")
    op.drop_column("projects", "paused_at")
    op.drop_column("batches", "paused_at")
    op.drop_column("leases", "urgent")
    op.drop_column("leases", "job_seconds")
    op.create_table(
        "old_flows",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("pool_id", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.UUID(), nullable=False),
        sa.Column("priority_class", CLASS, nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("vtime", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("queued", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("blocked_by", sa.BigInteger(), nullable=True),
        postgresql_with={"fillfactor": "70"},
    )
    op.drop_index("ix_jobs_ready", table_name="jobs")
    op.execute(JOIN)
    op.drop_table("flows")
    op.drop_table("stakes")
    op.execute("ALTER TABLE old_flows RENAME TO flows")
    op.execute("ALTER SEQUENCE old_flows_id_seq RENAME TO flows_id_seq")
    op.create_primary_key(op.f("pk_flows"), "flows", ["id"])
    op.create_check_constraint(op.f("ck_flows_weight_positive"), "flows", "weight > 0")
    op.create_foreign_key(op.f("fk_flows_pool_id"), "flows", "pools", ["pool_id"], ["id"])
    op.create_foreign_key(op.f("fk_flows_project_id"), "flows", "projects", ["project_id"], ["id"])
    op.create_unique_constraint(
        op.f("uq_flows_pool_id_project_id_priority_class"), "flows", ["pool_id", "project_id", "priority_class"]
    )
    op.create_index(
        "ix_flows_by_vtime", "flows", ["pool_id", "vtime"], postgresql_where=sa.text("active AND NOT paused")
    )
    op.create_index("ix_flows_blocked_by", "flows", ["blocked_by"], postgresql_where=sa.text("blocked_by IS NOT NULL"))
    op.create_index(
        "ix_jobs_ready",
        "jobs",
        ["flow_id", "priority", "deadline", "id"],
        postgresql_where=sa.text("state = 'queued' AND run_at IS NULL"),
    )
