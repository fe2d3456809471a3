"""Schemathesis over the whole OpenAPI document, with every check on: no 5xx, and no answer that is not documented.

The same inputs every time. For a longer run, with others each time, against an API that runs (docs/testing.md):

    st run http://127.0.0.1:8400/openapi.json --checks all --max-examples 200 -H "Authorization: Bearer $PRESSROOM_API_KEY"
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.api import LiveApi

_SECONDS = 300
_EXAMPLES = 8
_SHOWN_CHARACTERS = 12_000


@pytest.mark.slow
@pytest.mark.timeout(_SECONDS + 60)
@pytest.mark.parametrize("phase", ["examples", "coverage", "fuzzing", "stateful"])
def test_the_api_does_what_its_document_says(shared_api: LiveApi, tmp_path: Path, phase: str) -> None:
    command = [
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{shared_api.origin}/openapi.json",
        "--checks=all",
        f"--phases={phase}",
        f"--max-examples={_EXAMPLES}",
        "--seed=1",
        "--generation-deterministic",
        "--generation-database=none",
        "--suppress-health-check=all",
        "--continue-on-failure",
        "--request-timeout=30",
        "--no-color",
        "--header",
        f"Authorization: Bearer {shared_api.key}",
    ]

    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )

    assert ran.returncode == 0, f"{ran.stdout[-_SHOWN_CHARACTERS:]}\n{ran.stderr[-2000:]}"
    assert " passed" in ran.stdout
