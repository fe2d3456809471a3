"""Fail when a test run left something out: `python -m tools.no_skips out/junit/*.xml`.

A test that is skipped because a server is missing looks like a test that passed. So the JUnit reports of a run may
hold no skipped and no expected-to-fail test, unless its reason is one of `EXCUSES` and that excuse holds here: prompts
that are not ours to commit and are not there, and becoming another user, which takes root. A report without any test
fails too.
"""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"

EXCUSES: Mapping[str, Callable[[], bool]] = {
    "needs ../shared/data": lambda: not SHARED_DATA.is_dir(),
    "only root can": lambda: os.geteuid() != 0,
}
"""How the reason of an allowed skip starts, and whether it holds on this machine."""


@dataclass(frozen=True)
class Outcome:
    """One test of a JUnit report: `skip` is the reason it did not count, None when it ran."""

    name: str
    skip: str | None


def read_outcomes(report: str) -> list[Outcome]:
    """The tests of a JUnit XML report. Raises ValueError when it is not one."""
    try:
        root = ElementTree.fromstring(report)  # noqa: S314 - written by our own pytest a moment ago
    except ElementTree.ParseError as error:
        raise ValueError(f"not a JUnit report: {error}") from error
    outcomes = []
    for case in root.iter("testcase"):
        skipped = case.find("skipped")
        reason = None if skipped is None else skipped.get("message") or skipped.get("type") or "no reason given"
        outcomes.append(Outcome(f"{case.get('classname', '')}::{case.get('name', '')}", reason))
    return outcomes


def faults(outcomes: Iterable[Outcome], excuses: Collection[str]) -> list[str]:
    """One line for each test that was left out without one of these excuses, or for a run without tests."""
    seen = list(outcomes)
    if not seen:
        return ["the report holds no test"]
    return [
        f"{outcome.name}: {outcome.skip}"
        for outcome in seen
        if outcome.skip is not None and not outcome.skip.startswith(tuple(excuses))
    ]


def main(paths: list[str]) -> int:
    """Print what was left out; 0 when nothing was, 1 otherwise, 2 when a report is missing."""
    if not paths:
        print("no_skips: name at least one JUnit report", file=sys.stderr)
        return 2
    failed = False
    excuses = [reason for reason, holds in EXCUSES.items() if holds()]
    for path in map(Path, paths):
        if not path.is_file():
            print(f"no_skips: {path} does not exist: did its pytest run end early?", file=sys.stderr)
            return 2
        outcomes = read_outcomes(path.read_text())
        left_out = faults(outcomes, excuses)
        skipped = sum(outcome.skip is not None for outcome in outcomes)
        print(f"{path.name}: {len(outcomes)} tests, {skipped} skipped, {len(left_out)} faults")
        for line in left_out:
            print(f"  {line}")
        failed = failed or bool(left_out)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
