"""Routes and breakers.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STOP_KIND = sa.Enum("by_hand", "billing", "unauthorised", "model_removed", "failures", name="stop_kind")


def upgrade() -> None:
    STOP_KIND.create(op.get_bind())
    op.add_column("deployments", sa.Column("account", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("deployments", sa.Column("api_key_env", sa.Text(), nullable=True))
    op.add_column(
        "deployments",
        sa.Column("stop_kind", sa.Enum(name="stop_kind", create_type=False), nullable=True),
    )
    op.add_column("deployments", sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("deployments", sa.Column("trips", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("deployments", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "deployments",
        sa.Column("probe_leases", postgresql.ARRAY(sa.UUID()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "workers", sa.Column("key_names", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.drop_constraint(op.f("uq_deployments_base_url_model"), "deployments")
    op.create_unique_constraint(
        op.f("uq_deployments_base_url_account_model"), "deployments", ["base_url", "account", "model"]
    )
    op.create_check_constraint(
        op.f("ck_deployments_stopped"),
        "deployments",
        "paused_at IS NOT NULL OR (stop_kind IS NULL AND retry_at IS NULL)",
    )
    op.create_table(
        "routes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.UUID(), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=True),
        sa.Column("fallback", sa.SmallInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(weight IS NULL) <> (fallback IS NULL)", name=op.f("ck_routes_weight_or_fallback")),
        sa.CheckConstraint("weight > 0 AND fallback > 0", name=op.f("ck_routes_positive")),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name=op.f("fk_routes_deployment_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_routes_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routes")),
        sa.UniqueConstraint(
            "project_id",
            "model",
            "deployment_id",
            name=op.f("uq_routes_project_id_model_deployment_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "health_windows",
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name=op.f("fk_health_windows_deployment_id")),
        sa.PrimaryKeyConstraint("deployment_id", "since", name=op.f("pk_health_windows")),
        postgresql_with={"fillfactor": "50"},
    )


def downgrade() -> None:
    op.drop_column("workers", "key_names")
    op.drop_table("health_windows")
    op.drop_table("routes")
    op.drop_constraint(op.f("ck_deployments_stopped"), "deployments")
    op.drop_constraint(op.f("uq_deployments_base_url_account_model"), "deployments")
    # Deployments of further accounts have no place in the older schema; their jobs would then be another account's.
    op.create_unique_constraint(op.f("uq_deployments_base_url_model"), "deployments", ["base_url", "model"])
    for column in ("probe_leases", "closed_at", "trips", "retry_at", "stop_kind", "api_key_env", "account"):
        op.drop_column("deployments", column)
    STOP_KIND.drop(op.get_bind())
