"""The Celery app: its tasks, and the signals that begin and end the process's life."""

import logging
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from celery import Celery
from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down
from kombu.transport import redis as redis_transport
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pressroom.errors import PressroomError
from pressroom.jobs.publish import DELIVER, RUN_LEASE, celery_settings
from pressroom.logs import configure_logging
from worker.assembly import Servers
from worker.life import WorkerLife

COULD_NOT_RUN = 3
"""Exit status of a worker that lacks what it needs."""

_log = logging.getLogger("pressroom.worker")


class _Channel(redis_transport.Channel):
    """Says that its connection is gone in a way that Celery expects.

    Kombu acknowledges and puts back messages through a connection that it has just dropped, and fails with an
    AttributeError, over which Celery ends the worker. A connection error it takes as what it is, and connects again.
    """

    def _connparams(self, *arguments: Any, **named: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the channel's connection to the broker is closed")
        return super()._connparams(*arguments, **named)  # type: ignore[no-untyped-call]


def make_app(servers: Servers) -> Celery:
    """An app whose worker runs leases. One per process."""
    settings = servers.settings
    app = Celery("pressroom")
    redis_transport.Transport.Channel = _Channel
    app.conf.update(celery_settings(servers.redis_url, settings.redis_prefix))
    lives: list[WorkerLife] = []

    _add_tasks(app, lives)

    def configure(**_: object) -> None:
        configure_logging(settings.log_level, sandbox=settings.uses_sandbox)

    def begin(**_: object) -> None:
        configure()  # Celery asks for it only later
        # Celery logs what a signal's receiver raises and goes on: it would take leases and drop them.
        try:
            lives.append(WorkerLife(servers))
        except (SQLAlchemyError, RedisError, PressroomError, OSError) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            sys.stderr.write(f"pressroom worker: cannot start: {reason}\n")
            raise SystemExit(COULD_NOT_RUN) from None

    def begin_end(**_: object) -> None:
        for life in lives:
            life.begin_end()

    def end(**_: object) -> None:
        for life in lives:
            if not life.end():
                _log.error("worker.calls_left_behind")

    setup_logging.connect(configure, weak=False)
    worker_init.connect(begin, weak=False)
    worker_shutting_down.connect(begin_end, weak=False)
    worker_shutdown.connect(end, weak=False)
    return app


def _add_tasks(app: Celery, lives: Sequence[WorkerLife]) -> None:
    """What messages ask for, of the life that the process has once it has begun."""

    @app.task(name=RUN_LEASE)  # type: ignore[untyped-decorator]
    def run_lease(lease_id: str) -> None:
        for life in lives:
            life.run_lease(UUID(lease_id))

    @app.task(name=DELIVER)  # type: ignore[untyped-decorator]
    def deliver_webhooks() -> None:
        for life in lives:
            life.deliver_webhooks()
