"""Several processes, one data directory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pressroom.local_stack import LocalStack, LocalStackError
from tests.integration.local_stack import contents

_HOLD = """
import json, sys
from pressroom.local_stack import LocalStack, LocalStackError
stack = LocalStack(sys.argv[1], durable=False)
urls = stack.acquire()
print(json.dumps([urls.environment(), {s.name: s.pid for s in stack.status()}]), flush=True)
sys.stdin.read()
print(stack.release(stop=True), flush=True)
"""


def _hold(data_dir: Path) -> subprocess.Popen[str]:
    """Another process that acquires the stack, reports it, and lets go when its input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _reported(holder: subprocess.Popen[str]) -> str:
    assert holder.stdout is not None
    return holder.stdout.readline()


def test_processes_that_start_at_once_get_one_stack_and_the_last_one_stops_it(data_dir: Path) -> None:
    holders = [_hold(data_dir) for _ in range(3)]
    seen = [_reported(holder) for holder in holders]
    assert len(set(seen)) == 1
    assert len(json.loads(seen[0])[1]) == 3

    outcomes = [holder.communicate()[0].strip() for holder in holders]

    assert outcomes == ["False", "False", "True"]
    assert contents.pids(LocalStack(data_dir)) == {}


def test_a_stack_outlives_the_process_that_started_it(data_dir: Path) -> None:
    starter = _hold(data_dir)
    environment, pids = json.loads(_reported(starter))
    starter.kill()
    starter.communicate()

    stack = LocalStack(data_dir, durable=False)

    assert stack.acquire().environment() == environment
    assert contents.pids(stack) == pids


def test_stop_does_not_ask_and_wipe_does(lasting_stack: LocalStack) -> None:
    lasting_stack.acquire()
    other = LocalStack(lasting_stack.data_dir)
    with pytest.raises(LocalStackError, match="another process uses it"):
        other.wipe()
    assert len(contents.pids(other)) == 3
    other.stop()
    assert contents.pids(other) == {}
