"""`pressroom up` serves everything from one command: the API answers to the key that it made, and ends with it."""

import json
import re
import signal
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.command import command_with
from tests.sandbox_process import SandboxProcess

_API = re.compile(r"API +(http://\S+)")
_KEY = re.compile(r"admin key +(?:made just now, )?in (\S+)")


@pytest.mark.slow
def test_the_api_is_up_with_the_rest_and_its_first_key_works(system_sandbox: SandboxProcess) -> None:
    with command_with(system_sandbox.base_url) as command:
        process = command.start("up", "--workers", "1", "--api-port", "0")
        said = ""
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if "Ctrl-C stops" in line:
                break
        address, path = _API.search(said), _KEY.search(said)
        assert address is not None, said
        assert path is not None, said
        key = Path(path[1]).read_text().strip()
        request = urllib.request.Request(f"{address[1]}/overview", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer)["project"]["name"] == "default"
        assert key not in said

        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=90)
        assert process.returncode == 0, rest
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(request, timeout=5)
