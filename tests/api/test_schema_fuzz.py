"""Schemathesis over the whole OpenAPI document, with every check on: no 5xx, and no answer that is not documented.

The same inputs every time. For a longer run, with others each time, against an API that runs, with a key of a project
that may be spoiled, with the id of a job that has ended in PRESSROOM_ENDED_JOB:

    st --config-file tests/api/schemathesis.toml run http://127.0.0.1:8400/openapi.json --checks all \\
        --max-examples 200 --header "Authorization: Bearer $PRESSROOM_API_KEY"
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pressroom.client import Pressroom
from tests.fixtures.api import LiveApi
from tests.fixtures.asked import CHAT, chat_body

_SECONDS = 240
_EXAMPLES = 6
_SHOWN_CHARACTERS = 12_000
_CONFIG = Path(__file__).with_name("schemathesis.toml")
_ENDS_KEYS = ("DELETE /v1/keys/{key_id}", "POST /v1/keys/{key_id}/rotate")
"""Operations that may end the very key that is used: they have a run, and a key, of their own."""


@pytest.fixture(scope="module")
def ended_job(shared_api: LiveApi) -> str:
    """A job of which nothing more comes."""
    with Pressroom(shared_api.origin, shared_api.key) as press:
        return press.wait(press.submit(CHAT, chat_body(1)), timeout_seconds=60).id


def _run(api: LiveApi, ended_job: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("st")),
        f"--config-file={_CONFIG}",
        "run",
        f"{api.origin}/openapi.json",
        "--checks=all",
        f"--max-examples={_EXAMPLES}",
        "--generation-deterministic",
        "--suppress-health-check=all",
        "--continue-on-failure",
        "--request-timeout=30",
        "--no-color",
        f"--header=Authorization: Bearer {api.make_key().text}",
        *options,
    ]
    environment = {"PATH": os.environ["PATH"], "NO_PROXY": "*", "PRESSROOM_ENDED_JOB": ended_job}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )


def _options(option: str, names: Sequence[str]) -> list[str]:
    return [f"--{option}-name={name}" for name in names]


@pytest.mark.slow
@pytest.mark.timeout(_SECONDS + 60)
@pytest.mark.parametrize("phase", ["examples", "coverage", "fuzzing", "stateful"])
def test_the_api_does_what_its_document_says(shared_api: LiveApi, ended_job: str, tmp_path: Path, phase: str) -> None:
    ran = _run(shared_api, ended_job, tmp_path, f"--phases={phase}", *_options("exclude", _ENDS_KEYS))

    assert ran.returncode == 0, f"{ran.stdout[-_SHOWN_CHARACTERS:]}\n{ran.stderr[-2000:]}"
    assert "Tested:" in ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(_SECONDS + 60)
@pytest.mark.parametrize("name", _ENDS_KEYS)
def test_so_do_the_operations_that_may_end_a_key(
    shared_api: LiveApi, ended_job: str, tmp_path: Path, name: str
) -> None:
    ran = _run(shared_api, ended_job, tmp_path, "--phases=examples,coverage,fuzzing", *_options("include", [name]))

    assert ran.returncode == 0, f"{ran.stdout[-_SHOWN_CHARACTERS:]}\n{ran.stderr[-2000:]}"
    assert "Tested:" in ran.stdout
