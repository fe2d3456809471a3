"""The API as a process: it starts, answers, and ends in order."""

from tests.fixtures.api import LiveApi


def test_it_lives_and_is_ready(api: LiveApi) -> None:
    with api.client(None) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ok"}


def test_a_process_of_its_own_ends_on_sigterm(api_process: LiveApi) -> None:
    with api_process.client(None) as client:
        assert client.get("/readyz").status_code == 200
    assert api_process.process is not None
    assert api_process.process.stop() == 0
