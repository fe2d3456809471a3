"""What the workers learn of token use, and alerts.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(
        "ix_alerts_open",
        "alerts",
        ["kind", "subject"],
        unique=True,
        postgresql_where=sa.text("acknowledged_at IS NULL"),
    )
    op.create_table(
        "calibrations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("project_id", sa.UUID(), nullable=True),
        sa.Column("ratio", sa.Double(), nullable=False),
        sa.Column("ratio_bins", postgresql.ARRAY(sa.Double()), nullable=False),
        sa.Column("output_tokens_mean", sa.Double(), nullable=False),
        sa.Column("samples", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name=op.f("fk_calibrations_deployment_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_calibrations_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibrations")),
        sa.UniqueConstraint(
            "deployment_id",
            "url",
            "kind",
            "project_id",
            name=op.f("uq_calibrations_deployment_id_url_kind_project_id"),
            postgresql_nulls_not_distinct=True,
        ),
        postgresql_with={"fillfactor": "50"},
    )
    op.add_column("deployments", sa.Column("token_ratio", sa.Float(), server_default=sa.text("1.0"), nullable=False))


def downgrade() -> None:
    op.drop_column("deployments", "token_ratio")
    op.drop_table("calibrations")
    op.drop_index("ix_alerts_open", "alerts")
    op.drop_table("alerts")
