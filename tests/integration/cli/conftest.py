"""The command line on this test's own servers."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from cli.exits import ExitCode
from cli.main import app
from pressroom.jobs.publish import QUEUE
from pressroom.local_stack import StackUrls
from pressroom.settings import Settings
from pressroom.storage import ObjectStore

Run = Callable[..., Any]


@pytest.fixture
def pressroom(
    monkeypatch: pytest.MonkeyPatch,
    stack_urls: StackUrls,
    database_url: str,
    redis_url: str,
    store: ObjectStore,
    tmp_path: Path,
) -> Iterator[Run]:
    """Run a command on this test's own servers; a stdin that is no terminal answers nothing."""
    environment = stack_urls.environment() | {
        "PRESSROOM_DATABASE_URL": database_url,
        "PRESSROOM_REDIS_URL": redis_url,
        "PRESSROOM_S3_BUCKET": store.bucket,
        "PRESSROOM_DATA_DIR": str(tmp_path / "data"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, code: ExitCode = ExitCode.OK) -> Any:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if "--json" in arguments and code is ExitCode.OK else done

    yield run
    # Messages that no worker ever came for; the queue is Celery's and outlives them.
    with redis.Redis.from_url(redis_url) as client:
        client.delete(f"{Settings().redis_prefix}{QUEUE}")
