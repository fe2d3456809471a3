"""One sandbox process for all contract tests, put back to a known state before each."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.sandbox_process import SandboxProcess

QUICK: dict[str, Any] = {
    "latency": {"chat": {"kind": "fixed", "seconds": 0}, "images": {"kind": "fixed", "seconds": 0}},
}


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[SandboxProcess]:
    """The process."""
    with SandboxProcess() as process:
        yield process


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> SandboxProcess:
    """Without latency, limits, faults or history."""
    sandbox_process.replace_config(QUICK)
    sandbox_process.reset()
    return sandbox_process


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[openai.OpenAI]:
    """The real SDK, which does not retry."""
    with openai.OpenAI(api_key="sk-test", base_url=sandbox.base_url, max_retries=0, timeout=10) as client:
        yield client
