"""The deployment files hold together: valid, pinned, unprivileged, and without a secret that works."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pressroom.settings import Settings
from tests.architecture.tree import ROOT

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?P<rest>[^}]*)\}")
_SECRET = re.compile(r"PASSWORD|SECRET|KEY|TOKEN")


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def _valid(path: Path) -> bool:
    """Whether a compose file keeps the compose schema; `make compose` asks the same."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _environments(compose: dict[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    """Service, variable and value of everything that the compose file hands over."""
    for name, service in compose["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            yield name, variable, value


def _instructions(keyword: str) -> list[str]:
    """The arguments of a Dockerfile instruction, in order, continuation lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.split(None, 1)[1] for line in joined.splitlines() if line.startswith(f"{keyword} ")]


def test_the_compose_file_keeps_the_schema() -> None:
    assert _valid(COMPOSE)


def test_a_broken_compose_file_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE.read_text().replace("restart: unless-stopped", "restarts: unless-stopped"))

    assert not _valid(broken)


def test_every_secret_must_be_given(compose: dict[str, Any]) -> None:
    """A password is `${NAME:?…}`, so compose stops without it, or is passed on as it is (no value)."""
    for service, variable, value in _environments(compose):
        names = _VARIABLE.finditer(value or "")
        assert all(name["rest"].startswith(":?") for name in names), f"{service}: {variable} has a default"
        if _SECRET.search(variable) and value is not None:
            assert _VARIABLE.fullmatch(value), f"{service}: {variable} is written into the file"


def test_the_example_environment_names_every_variable_and_fills_none(compose: dict[str, Any]) -> None:
    example = dict(
        line.removeprefix("# ").split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if re.match(r"(# )?[A-Z_0-9]+=", line)
    )
    asked = {match["name"] for match in _VARIABLE.finditer(COMPOSE.read_text())}
    passed_on = {variable for _, variable, value in _environments(compose) if value is None}

    assert set(example) == asked | passed_on
    assert {name for name, value in example.items() if value and _SECRET.search(name)} == set()


def test_every_setting_that_is_handed_over_exists(compose: dict[str, Any]) -> None:
    known = {f"PRESSROOM_{field.upper()}" for field in Settings.model_fields}
    given = {variable for _, variable, _ in _environments(compose) if variable.startswith("PRESSROOM_")}

    assert given <= known


def test_every_service_is_pinned_watched_and_waited_for(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        image, _, tag = service["image"].partition(":")
        assert tag not in {"", "latest"}, f"{name}: {image} has no fixed version"
        assert service.get("healthcheck"), f"{name} has no health check"
        for other, wait in (service.get("depends_on") or {}).items():
            assert wait["condition"] in {"service_healthy", "service_completed_successfully"}
            assert other in services


def test_only_the_api_is_published_and_to_this_machine_alone(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}

    assert published == {"api": ["127.0.0.1:8400:8400"]}


def test_the_api_is_watched_by_what_it_can_serve_and_ends_before_it_is_killed(compose: dict[str, Any]) -> None:
    api, settings = compose["services"]["api"], Settings.model_fields

    assert ":8400/readyz" in " ".join(api["healthcheck"]["test"])
    assert settings["api_port"].default == 8400
    assert int(api["stop_grace_period"].removesuffix("s")) > settings["api_drain_seconds"].default + 10


def test_every_volume_is_declared(compose: dict[str, Any]) -> None:
    named = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if not volume.startswith((".", "/"))
    }

    assert named == set(compose["volumes"])


def test_workers_scale_and_drain_before_they_are_killed(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]

    assert "container_name" not in worker
    assert int(worker["stop_grace_period"].removesuffix("s")) > Settings.model_fields["drain_seconds"].default + 10


def test_the_image_is_slim_unprivileged_and_trusts_the_system_s_certificates() -> None:
    assert {base.split()[0] for base in _instructions("FROM")} == {"python:3.13-slim"}
    assert _instructions("USER")[-1] == "10001:10001"
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "ca-certificates" in final
    assert "pip install" not in final


def test_the_image_installs_only_what_is_locked() -> None:
    installs = [step for run in _instructions("RUN") for step in run.split("&&") if "pip install" in step]

    assert installs
    assert all("--require-hashes" in step or "--no-index" in step for step in installs)


def test_the_image_holds_no_secret() -> None:
    for keyword in ("ARG", "ENV"):
        assert [value for value in _instructions(keyword) if _SECRET.search(value)] == []


def test_the_image_is_sent_every_package_and_nothing_else() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for copy in _instructions("COPY") if not copy.startswith("--from") for source in copy.split()[:-1]}

    assert sent == copied
    assert all((ROOT / source).exists() for source in copied)
    assert {"api", "cli", "worker", "pressroom", "models", "migrations", "sandbox"} <= copied
