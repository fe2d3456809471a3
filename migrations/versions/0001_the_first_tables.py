"""The first tables, the guard of the state machine, and the default project.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# Every edge that `models.job.LEGAL_TRANSITIONS` does not have is refused here, whoever writes.
# The condition is in the trigger, so a legal update never calls the function.
GUARD = """
CREATE FUNCTION refuse_job_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'job %: illegal transition % -> %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER jobs_state_machine BEFORE UPDATE OF state ON jobs FOR EACH ROW
WHEN (OLD.state IS DISTINCT FROM NEW.state AND NOT (
     (OLD.state = 'blocked' AND NEW.state IN ('queued', 'failed', 'cancelled', 'expired'))
  OR (OLD.state = 'queued' AND NEW.state IN ('leased', 'failed', 'cancelled', 'expired'))
  OR (OLD.state = 'leased' AND NEW.state IN ('queued', 'running', 'cancelled', 'expired'))
  OR (OLD.state = 'running' AND NEW.state IN ('queued', 'succeeded', 'failed', 'cancelled', 'expired'))
)) EXECUTE FUNCTION refuse_job_transition();
"""

DEFAULT_PROJECT = "INSERT INTO projects (id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'default')"


def upgrade() -> None:
    op.create_table(
        "pools",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "explicit_limits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "learned_limits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "catalog_limits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("limiter_epoch", sa.Text(), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pools")),
        sa.UniqueConstraint("name", name=op.f("uq_pools_name")),
    )
    op.create_table(
        "prices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("service_tier", sa.Text(), nullable=False),
        sa.Column("effective_from", sa.Date(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("input_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("cached_input_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("cache_write_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("output_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("image_input_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("cached_image_input_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("image_output_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("per_image", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prices")),
        sa.UniqueConstraint(
            "model",
            "service_tier",
            "effective_from",
            "origin",
            name=op.f("uq_prices_model_service_tier_effective_from_origin"),
        ),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("weight", sa.Double(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("weight > 0", name=op.f("ck_projects_weight_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gave_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("project_id", sa.UUID(), nullable=False),
        sa.Column(
            "state", sa.Enum("in_progress", "cancelling", "completed", "cancelled", name="batch_state"), nullable=False
        ),
        sa.Column("input_name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancelled", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expired", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("est_cost_usd", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=20, scale=10), server_default=sa.text("0"), nullable=False),
        sa.Column("at_risk_usd", sa.Numeric(precision=20, scale=10), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_batches_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_batches_fingerprint", "batches", ["project_id", "fingerprint"], unique=False)
    op.create_table(
        "deployments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("is_sandbox", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("pool_id", sa.BigInteger(), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name=op.f("fk_deployments_pool_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
        sa.UniqueConstraint("base_url", "model", name=op.f("uq_deployments_base_url_model")),
    )
    op.create_table(
        "flows",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("pool_id", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.UUID(), nullable=False),
        sa.Column("priority_class", sa.Enum("interactive", "normal", "bulk", name="priority_class"), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("vtime", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("queued", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("weight > 0", name=op.f("ck_flows_weight_positive")),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name=op.f("fk_flows_pool_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_flows_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flows")),
        sa.UniqueConstraint(
            "pool_id", "project_id", "priority_class", name=op.f("uq_flows_pool_id_project_id_priority_class")
        ),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "ix_flows_by_vtime",
        "flows",
        ["pool_id", "vtime"],
        unique=False,
        postgresql_where=sa.text("active AND NOT paused"),
    )
    op.create_table(
        "daily_costs",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("project_id", sa.UUID(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("images", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=20, scale=10), server_default=sa.text("0"), nullable=False),
        sa.Column("at_risk_usd", sa.Numeric(precision=20, scale=10), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name=op.f("fk_daily_costs_deployment_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_daily_costs_project_id")),
        sa.PrimaryKeyConstraint("day", "project_id", "deployment_id", name=op.f("pk_daily_costs")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("project_id", sa.UUID(), nullable=False),
        sa.Column("batch_id", sa.UUID(), nullable=True),
        sa.Column("line_no", sa.Integer(), nullable=True),
        sa.Column("custom_id", sa.Text(), nullable=True),
        sa.Column("flow_id", sa.BigInteger(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "blocked",
                "queued",
                "leased",
                "running",
                "succeeded",
                "failed",
                "cancelled",
                "expired",
                name="job_state",
            ),
            nullable=False,
        ),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_id", sa.UUID(), nullable=True),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("calls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts_used", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.SmallInteger(), server_default=sa.text("5"), nullable=False),
        sa.Column("est_tokens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("est_images", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("est_cost_usd", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("superseded_by", sa.UUID(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('leased', 'running')) = (lease_id IS NOT NULL)", name=op.f("ck_jobs_lease_iff_out")
        ),
        sa.CheckConstraint("attempts_used >= 0 AND max_attempts > 0", name=op.f("ck_jobs_attempts")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_jobs_batch_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_jobs_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        postgresql_with={
            "fillfactor": "80",
            "autovacuum_vacuum_scale_factor": "0.01",
            "autovacuum_vacuum_threshold": "1000",
            "autovacuum_analyze_scale_factor": "0.02",
        },
    )
    op.create_index("ix_jobs_batch", "jobs", ["batch_id", "line_no"], unique=False)
    op.create_index(
        "ix_jobs_deadline",
        "jobs",
        ["deadline"],
        unique=False,
        postgresql_where=sa.text("state IN ('blocked', 'queued', 'leased') AND deadline IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_lease", "jobs", ["lease_id"], unique=False, postgresql_where=sa.text("lease_id IS NOT NULL")
    )
    op.create_index(
        "ix_jobs_ready",
        "jobs",
        ["flow_id", "priority", "deadline", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued' AND run_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_unsuccessful",
        "jobs",
        ["error_code", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('failed', 'cancelled', 'expired')"),
    )
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["run_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued' AND run_at IS NOT NULL"),
    )
    op.create_table(
        "leases",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("pool_id", sa.BigInteger(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.UUID(), nullable=True),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("waiting_seconds", sa.Double(), nullable=False),
        sa.Column("open", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("publish_count", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name=op.f("fk_leases_deployment_id")),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name=op.f("fk_leases_pool_id")),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_leases_worker_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leases")),
        postgresql_with={"fillfactor": "50", "autovacuum_vacuum_scale_factor": "0"},
    )
    op.create_index("ix_leases_pool", "leases", ["pool_id"], unique=False)
    op.create_index("ix_leases_worker", "leases", ["worker_id"], unique=False)
    op.create_table(
        "artifacts",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("project_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=True),
        sa.Column("batch_id", sa.UUID(), nullable=True),
        sa.Column("kind", sa.Enum("image", "thumbnail", "input", "output", name="artifact_kind"), nullable=False),
        sa.Column("position", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_artifacts_batch_id")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_artifacts_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_artifacts_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("key", name=op.f("uq_artifacts_key")),
    )
    op.create_index(
        "ix_artifacts_batch",
        "artifacts",
        ["batch_id", "kind"],
        unique=False,
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_index("ix_artifacts_job", "artifacts", ["job_id", "kind", "position"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("lease_id", sa.UUID(), nullable=False),
        sa.Column("worker_id", sa.UUID(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum("started", "succeeded", "failed", "rejected", "unknown", "released", name="attempt_outcome"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("usage", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("service_tier", sa.Text(), nullable=True),
        sa.Column("est_cost_usd", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("at_risk_usd", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("price_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["price_id"], ["prices.id"], name=op.f("fk_attempts_price_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("job_id", "number", name=op.f("uq_attempts_job_id_number")),
        postgresql_with={"fillfactor": "60"},
    )
    op.create_index(
        "ix_attempts_at_risk", "attempts", ["id"], unique=False, postgresql_where=sa.text("at_risk_usd IS NOT NULL")
    )
    op.create_table(
        "job_requests",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_requests_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_requests")),
    )
    op.create_table(
        "job_results",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_results_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_results")),
    )
    op.execute(GUARD)
    op.execute(DEFAULT_PROJECT)


def downgrade() -> None:
    op.execute("DROP TRIGGER jobs_state_machine ON jobs")
    op.execute("DROP FUNCTION refuse_job_transition()")
    op.drop_table("job_results")
    op.drop_table("job_requests")
    op.drop_index("ix_attempts_at_risk", table_name="attempts", postgresql_where=sa.text("at_risk_usd IS NOT NULL"))
    op.drop_table("attempts")
    op.drop_index("ix_artifacts_job", table_name="artifacts")
    op.drop_index("ix_artifacts_batch", table_name="artifacts", postgresql_where=sa.text("batch_id IS NOT NULL"))
    op.drop_table("artifacts")
    op.drop_index("ix_leases_worker", table_name="leases")
    op.drop_index("ix_leases_pool", table_name="leases")
    op.drop_table("leases")
    op.drop_index(
        "ix_jobs_waiting", table_name="jobs", postgresql_where=sa.text("state = 'queued' AND run_at IS NOT NULL")
    )
    op.drop_index(
        "ix_jobs_unsuccessful",
        table_name="jobs",
        postgresql_where=sa.text("state IN ('failed', 'cancelled', 'expired')"),
    )
    op.drop_index("ix_jobs_ready", table_name="jobs", postgresql_where=sa.text("state = 'queued' AND run_at IS NULL"))
    op.drop_index("ix_jobs_lease", table_name="jobs", postgresql_where=sa.text("lease_id IS NOT NULL"))
    op.drop_index(
        "ix_jobs_deadline",
        table_name="jobs",
        postgresql_where=sa.text("state IN ('blocked', 'queued', 'leased') AND deadline IS NOT NULL"),
    )
    op.drop_index("ix_jobs_batch", table_name="jobs")
    op.drop_table("jobs")
    op.drop_table("daily_costs")
    op.drop_index("ix_flows_by_vtime", table_name="flows", postgresql_where=sa.text("active AND NOT paused"))
    op.drop_table("flows")
    op.drop_table("deployments")
    op.drop_index("ix_batches_fingerprint", table_name="batches")
    op.drop_table("batches")
    op.drop_table("workers")
    op.drop_table("projects")
    op.drop_table("prices")
    op.drop_table("pools")
    op.execute("DROP TYPE priority_class")
    op.execute("DROP TYPE batch_state")
    op.execute("DROP TYPE job_state")
    op.execute("DROP TYPE attempt_outcome")
    op.execute("DROP TYPE artifact_kind")
