"""Entry of a worker process: `python -m worker`, or `pressroom worker`."""

import os
import signal
import sys
from types import FrameType

from pydantic import ValidationError

from pressroom.errors import PressroomError
from pressroom.settings import Settings
from worker.app import COULD_NOT_RUN, make_app
from worker.assembly import connect_servers
from worker.heartbeat import ParentWatch
from worker.repeating import Repeating

_PARENT_VARIABLE = "PRESSROOM_PARENT_PID"


def _stop_before_start(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    """Run until SIGTERM, which finishes what is being called and hands back the rest. Exits 3 if it cannot run."""
    try:
        settings = Settings()
        servers = connect_servers(settings)
        settings.provider_address()
    except (PressroomError, ValidationError) as error:
        sys.stderr.write(f"pressroom worker: {error}\n")
        raise SystemExit(COULD_NOT_RUN) from None
    parent = os.environ.get(_PARENT_VARIABLE)
    if parent:
        watch = ParentWatch(int(parent), lambda: os.kill(os.getpid(), signal.SIGTERM))
        Repeating("parent", watch.look, 1.0).start()
    # Until Celery has put up its own handler there is nothing to finish, and no reason to die of the signal.
    signal.signal(signal.SIGTERM, _stop_before_start)
    app = make_app(servers)
    app.worker_main(
        argv=[
            "--quiet",  # no banner among the JSON lines
            "worker",
            "--pool=threads",
            f"--concurrency={settings.worker_threads}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            f"--loglevel={settings.log_level}",
            f"--hostname=pressroom-{os.getpid()}@{servers.host}",
        ]
    )
