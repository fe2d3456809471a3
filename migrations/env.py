"""Alembic's entry point. Run through `migrations.migrate`, which hands over a connection that holds the lock."""

from alembic import context
from sqlalchemy import Connection

from models import Base


def run(connection: Connection) -> None:
    """Run the migrations, each in a transaction of its own, on the connection that `migrations.migrate` prepared."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
