"""Fail when a lock is behind pyproject.toml, or holds more than names, versions and hashes. Needs no network.

A lock's `# via pressroom (pyproject.toml)` notes say which pins were asked for. They must be exactly the requirements
of today's pyproject.toml, each pin must satisfy its requirement, every pin must have hashes, and no line may carry an
address: where packages come from is the business of the machine that installs them.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Covers:
    """What a lock was asked for: the project's dependencies, some extras, some dependency groups."""

    project: bool = True
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


LOCKS = {
    "requirements/runtime.txt": Covers(extras=("sandbox",)),
    "requirements/build.txt": Covers(project=False, groups=("build",)),
    "requirements/dev.txt": Covers(extras=("local",), groups=("dev",)),
}
"""Each lock and what it covers; `make lock` writes the same."""

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)")
_DIRECT = re.compile(r"pressroom(?:\[[^]]*\])? \(pyproject\.toml(?::[\w-]+)?\)|\bvia pressroom\b|^\s*#\s+pressroom\b")


@dataclass
class Pin:
    """One locked package; `direct` when pyproject.toml asked for it."""

    name: str
    version: str
    hashes: int = 0
    direct: bool = False


def read_pins(lock: str) -> list[Pin]:
    """The pins of a lock in pip's format, in order. A package may be pinned twice for different platforms."""
    pins: list[Pin] = []
    for line in lock.splitlines():
        if match := _PIN.match(line):
            pins.append(Pin(canonicalize_name(match["name"]), match["version"]))
        elif pins and "--hash=" in line:
            pins[-1].hashes += 1
        elif pins and _DIRECT.search(line):
            pins[-1].direct = True
    return pins


def requirements_of(pyproject: dict[str, Any], covers: Covers) -> list[Requirement]:
    """What a lock was asked for; an extra of ours inside another and a group inside another are opened."""
    project = pyproject["project"]
    written: list[str] = list(project["dependencies"]) if covers.project else []
    pending = list(covers.extras)
    while pending:
        for text in project["optional-dependencies"][pending.pop()]:
            requirement = Requirement(text)
            if canonicalize_name(requirement.name) == project["name"]:
                pending.extend(requirement.extras)
            else:
                written.append(text)
    groups = list(covers.groups)
    while groups:
        for item in pyproject["dependency-groups"][groups.pop()]:
            if isinstance(item, str):
                written.append(item)
            else:
                groups.append(item["include-group"])
    return [Requirement(text) for text in written]


def faults(lock: str, wanted: Iterable[Requirement]) -> list[str]:
    """What is wrong with a lock, one line each."""
    pins = read_pins(lock)
    found = [f"carries an address: {line.strip()}" for line in lock.splitlines() if "://" in line]
    found += [f"{pin.name}=={pin.version} has no hash" for pin in pins if not pin.hashes]
    asked = {canonicalize_name(requirement.name): requirement for requirement in wanted}
    for name, requirement in sorted(asked.items()):
        versions = [pin.version for pin in pins if pin.name == name]
        if not versions:
            found.append(f"{requirement} is not locked")
        found += [
            f"{name}=={version} does not satisfy {requirement}"
            for version in versions
            if not requirement.specifier.contains(version, prereleases=True)
        ]
    found += [f"{pin.name} is no longer asked for" for pin in pins if pin.direct and pin.name not in asked]
    return found


def main() -> int:
    """Check every lock; 0 when all are fresh."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    failed = False
    for name, covers in LOCKS.items():
        lock = (ROOT / name).read_text()
        found = faults(lock, requirements_of(pyproject, covers))
        print(f"{name}: {len(read_pins(lock))} pins" + (", `make lock` mends:" if found else ", fresh"))
        for line in found:
            print(f"  {line}")
        failed = failed or bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
