"""OpenAI's package for Node, as it is on the registry, does everything against Pressroom that check.mjs asks of it."""

import os
import subprocess

import pytest

from tests.fixtures.api import LiveApi
from tests.guide.guides import NODE_FOLDER

_SECONDS = 100


@pytest.mark.slow
@pytest.mark.parametrize("package", ["openai", "openai-6"])
def test_the_node_client_takes_pressroom_for_openai(shared_api: LiveApi, package: str) -> None:
    environment = {"PATH": os.environ["PATH"], "OPENAI_BASE_URL": shared_api.base_url, "OPENAI_API_KEY": shared_api.key}

    ran = subprocess.run(
        ["node", "check.mjs", package],
        cwd=NODE_FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1].endswith("checks, 0 failed")
