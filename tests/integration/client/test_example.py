"""examples/client_colours.py works, and started again it pays for nothing twice."""

import os
import subprocess
import sys
from pathlib import Path

from tests.fixtures.api import LiveApi
from tests.sandbox_process import ROOT


def test_the_example_runs_twice_and_pays_once(shared_api: LiveApi, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PRESSROOM_API_URL": shared_api.origin,
        "PRESSROOM_API_KEY": shared_api.key,
    }
    said: list[str] = []
    for _ in range(2):
        command = [sys.executable, "-W", "error", "examples/client_colours.py", str(tmp_path)]
        ran = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert ran.returncode == 0, ran.stderr
        said.append(ran.stdout)

    assert said[0] == said[1]
    assert said[0].splitlines()[-1].startswith("4 pictures in ")
    assert len(list(tmp_path.glob("*.png"))) == 4
    assert shared_api.system.scalar("SELECT count(*) FROM jobs") == 8
