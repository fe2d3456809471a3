"""API keys: who calls, with what scopes, how often.

Revision: 0007, after 0006.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE api_keys (
            id uuid NOT NULL CONSTRAINT pk_api_keys PRIMARY KEY,
            project_id uuid NOT NULL CONSTRAINT fk_api_keys_project_id REFERENCES projects (id),
            name text NOT NULL,
            prefix text NOT NULL CONSTRAINT uq_api_keys_prefix UNIQUE,
            secret_hash bytea NOT NULL,
            previous_hash bytea,
            previous_until timestamptz,
            scopes text[] NOT NULL,
            requests_per_minute integer,
            expires_at timestamptz,
            revoked_at timestamptz,
            last_used_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT ck_api_keys_scopes_known
                CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['submit', 'read', 'admin']),
            CONSTRAINT ck_api_keys_rate_positive CHECK (requests_per_minute > 0),
            CONSTRAINT ck_api_keys_previous_ends CHECK ((previous_hash IS NULL) = (previous_until IS NULL))
        )
        """
    )
    op.execute("CREATE INDEX ix_api_keys_project_id ON api_keys (project_id)")


def downgrade() -> None:
    op.execute("DROP TABLE api_keys")
