"""A stack in use is looked after: what died comes back where it was, and what somebody stopped stays stopped."""

import os
import signal

import psutil
import pytest

from pressroom.local_stack import LocalStack, StackGone, StackWatch
from tests.integration.local_stack import contents


def kill(stack: LocalStack, *names: str) -> None:
    processes = [psutil.Process(contents.pids(stack)[name]) for name in names]
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=5)


def test_servers_that_died_are_started_again_at_the_next_look(scratch_stack: LocalStack) -> None:
    with scratch_stack as urls:
        now = 0.0
        watch = StackWatch(scratch_stack, urls, look_seconds=2, clock=lambda: now)
        now = 2.0
        assert watch.look() == []
        kill(scratch_stack, "valkey", "s3")
        assert scratch_stack.ended() == {"valkey": "died", "s3": "died"}
        now = 3.9
        assert watch.look() == []
        now = 4.0
        assert watch.look() == ["valkey", "s3"]
        assert scratch_stack.ended() == {}
        assert scratch_stack.acquire() == urls


def test_a_stack_that_was_stopped_is_not_started_again(scratch_stack: LocalStack) -> None:
    with scratch_stack as urls:
        watch = StackWatch(scratch_stack, urls, look_seconds=0)
        LocalStack(scratch_stack.data_dir, durable=False).stop()
        with pytest.raises(StackGone, match="pressroom down"):
            watch.look()
        assert set(scratch_stack.ended().values()) == {"stopped"}
