"""Killed servers, stale files, pids that belong to others, directories removed while in use."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from pressroom.local_stack import LocalStack, LocalStackError
from pressroom.local_stack.identity import postgres_identity
from tests.integration.local_stack import contents


@pytest.fixture
def filled_stack(lasting_stack: LocalStack) -> LocalStack:
    """A running stack with something in each server."""
    contents.write(lasting_stack.acquire())
    return lasting_stack


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A living process of PostgreSQL's own account that has nothing to do with the stack."""
    process = subprocess.Popen(["/bin/sleep", "60"], **postgres_identity().spawn_arguments())
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("killed", [("postgres",), ("valkey",), ("s3",), ("postgres", "valkey", "s3")])
def test_killed_servers_come_back_with_their_data(filled_stack: LocalStack, killed: tuple[str, ...]) -> None:
    urls, before = filled_stack.acquire(), contents.pids(filled_stack)
    for name in killed:
        os.kill(before[name], signal.SIGKILL)

    assert filled_stack.acquire() == urls
    contents.check(urls)

    after = contents.pids(filled_stack)
    assert {name for name in before if before[name] != after[name]} == set(killed)


def test_a_backend_that_outlives_its_server_is_ended_before_the_next_one_starts(filled_stack: LocalStack) -> None:
    """Both would write to the same files."""
    urls, server = filled_stack.acquire(), contents.pids(filled_stack)["postgres"]
    with contents.connect(urls) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        backend.suspend()
        os.kill(server, signal.SIGKILL)

        filled_stack.acquire()

        assert not backend.is_running()
    contents.check(urls)


def test_a_lost_pid_file_does_not_start_a_second_server(filled_stack: LocalStack) -> None:
    before = contents.pids(filled_stack)
    for path in (filled_stack.data_dir / "run").glob("*.pid"):
        path.unlink()
    filled_stack.acquire()
    assert contents.pids(filled_stack) == before


def test_stale_files_that_name_a_foreign_process_are_seen_through(
    filled_stack: LocalStack, stranger: subprocess.Popen[bytes]
) -> None:
    for pid in contents.pids(filled_stack).values():
        os.kill(pid, signal.SIGKILL)
    for path in (filled_stack.data_dir / "run").glob("*.pid"):
        path.write_text(f"{stranger.pid}\n")
    lock = filled_stack.data_dir / "postgres" / "data" / "postmaster.pid"
    lock.write_text("\n".join([str(stranger.pid), *lock.read_text().splitlines()[1:], ""]))
    socket_lock = filled_stack.data_dir / "postgres" / "socket" / ".s.PGSQL.5432.lock"
    socket_lock.write_text("\n".join([str(stranger.pid), *socket_lock.read_text().splitlines()[1:], ""]))

    contents.check(filled_stack.acquire())

    filled_stack.stop()
    assert stranger.poll() is None
    assert contents.pids(filled_stack) == {}
    filled_stack.acquire()


def test_a_port_taken_while_the_stack_was_down_is_replaced(filled_stack: LocalStack) -> None:
    old = filled_stack.acquire()
    filled_stack.stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(old.redis_url.rpartition(":")[2].partition("/")[0])))
        other.listen()
        urls = filled_stack.acquire()
    assert urls.redis_url != old.redis_url
    assert urls.s3_endpoint_url == old.s3_endpoint_url
    contents.check(urls)


def test_a_truncated_append_only_file_is_repaired(filled_stack: LocalStack) -> None:
    filled_stack.stop()
    log = next((filled_stack.data_dir / "valkey" / "appendonlydir").glob("*.incr.aof"))
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$1\r\nh")
    contents.check(filled_stack.acquire())


def test_a_directory_removed_while_servers_run_starts_afresh(scratch_stack: LocalStack) -> None:
    contents.write(scratch_stack.acquire())
    orphans = contents.pids(scratch_stack)
    scratch_stack.release()
    shutil.rmtree(scratch_stack.data_dir)

    with contents.connect(scratch_stack.acquire()) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)
    assert not any(psutil.pid_exists(pid) for pid in orphans.values())


def test_a_database_without_its_password_is_not_thrown_away(scratch_stack: LocalStack) -> None:
    scratch_stack.acquire()
    scratch_stack.release(stop=True)
    state_file = scratch_stack.data_dir / "stack.json"
    state = state_file.read_text()
    state_file.unlink()

    with pytest.raises(LocalStackError, match=r"stack\.json with its password is gone"):
        scratch_stack.acquire()

    state_file.write_text(state)
    scratch_stack.acquire()
