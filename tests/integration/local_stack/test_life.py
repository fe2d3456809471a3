"""A stack's ordinary life: cold start, warm start, what is kept, who may read it."""

import stat
import time
from pathlib import Path

import pytest
import redis
from celery import Celery

from pressroom.local_stack import LocalStack
from tests.integration.local_stack import contents


def test_a_stopped_stack_starts_again_quickly_with_everything_in_it(lasting_stack: LocalStack) -> None:
    contents.write(lasting_stack.acquire())
    lasting_stack.stop()
    assert contents.pids(lasting_stack) == {}

    began = time.monotonic()
    urls = lasting_stack.acquire()
    took_seconds = time.monotonic() - began

    contents.check(urls)
    assert took_seconds < 5


def test_status_tells_what_runs_where_and_shows_no_secret(lasting_stack: LocalStack) -> None:
    urls = lasting_stack.acquire()
    status = lasting_stack.status()

    assert [(server.name, server.running, server.problem) for server in status] == [
        ("postgres", True, None),
        ("valkey", True, None),
        ("s3", True, None),
    ]
    assert [str(server.version).partition(".")[0] for server in status] == ["18", "9", "nanio 0"]
    secrets = (urls.s3_secret_access_key.get_secret_value(), urls.redis_url.split("@")[0].split(":")[-1])
    for secret in secrets:
        assert secret not in repr(urls) + repr(status) + repr(lasting_stack._directory.load())


def test_secrets_are_readable_by_the_owner_only(lasting_stack: LocalStack) -> None:
    lasting_stack.acquire()
    secret_files = ("stack.json", "valkey/valkey.conf", "s3/server.json")
    modes = {name: stat.S_IMODE((lasting_stack.data_dir / name).stat().st_mode) for name in secret_files}
    assert modes == dict.fromkeys(secret_files, 0o600)
    for part in ("logs", "run", "valkey", "s3", "postgres"):
        assert stat.S_IMODE((lasting_stack.data_dir / part).stat().st_mode) == 0o700


def test_passwords_are_not_on_any_command_line(lasting_stack: LocalStack) -> None:
    urls = lasting_stack.acquire()
    password = urls.redis_url.split("@")[0].split(":")[-1]
    for pid in contents.pids(lasting_stack).values():
        assert password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_postgres_is_durable_and_reachable_through_its_socket_only(lasting_stack: LocalStack) -> None:
    names = ("fsync", "synchronous_commit", "listen_addresses", "jit", "shared_buffers", "max_connections")
    with contents.connect(lasting_stack.acquire()) as connection:
        settings = [connection.execute(f"SHOW {name}").fetchone() for name in names]
    assert settings == [("on",), ("on",), ("",), ("off",), ("128MB",), ("100",)]


def test_valkey_asks_for_the_password_and_keeps_an_append_only_file(lasting_stack: LocalStack) -> None:
    urls = lasting_stack.acquire()
    with (
        redis.Redis.from_url(urls.redis_url.replace("@", "x@")) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    with redis.Redis.from_url(urls.redis_url) as client:
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("appendfsync")["appendfsync"] == "everysec"


def test_celery_connects_with_the_same_url(lasting_stack: LocalStack) -> None:
    app = Celery(broker=lasting_stack.acquire().redis_url, set_as_current=False)
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1)
        assert connection.connected


def test_two_stacks_run_side_by_side(scratch_stack: LocalStack, lasting_stack: LocalStack) -> None:
    first, second = lasting_stack.acquire(), scratch_stack.acquire()

    assert first.redis_url != second.redis_url
    assert first.s3_endpoint_url != second.s3_endpoint_url
    with contents.connect(first) as one, contents.connect(second) as two:
        one.execute("CREATE TABLE only_in_first (n int)")
        assert two.execute("SELECT to_regclass('only_in_first')").fetchone() == (None,)
    assert scratch_stack.release(stop=True)
    assert len(contents.pids(lasting_stack)) == 3


def test_wiping_leaves_nothing(scratch_stack: LocalStack) -> None:
    scratch_stack.acquire()
    scratch_stack.wipe()
    assert not scratch_stack.data_dir.exists()
    assert scratch_stack.status() == []


def test_a_path_too_long_for_a_socket_gets_a_short_one(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o711)
    stack = LocalStack(data_dir / ("long" * 20), durable=False)
    with stack as urls, contents.connect(urls) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        socket = next(server.address for server in stack.status() if server.name == "postgres")
        assert stat.S_IMODE(Path(socket).parent.stat().st_mode) == 0o700
    stack.wipe()
    assert not Path(socket).parent.exists()
