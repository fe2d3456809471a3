"""What the documents tell a person to type exists."""

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
DOCUMENTS = [path for path in files() if path.suffix == ".md"]
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_MAKE = re.compile(r"(?:^ *|`|\$ |; |&& )make ([a-z][a-z-]*)", re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


def _make_commands(text: str) -> set[str]:
    """Every `make TARGET` inside code of a Markdown text."""
    return {target for code in _CODE.findall(text) for target in _MAKE.findall(code)}


def test_commands_are_found_in_code_only() -> None:
    text = "We make tea.\n\n```\nmake demo\n$ make test PYTHON=x\n# to make sense\n```\nor `make lint`, and make haste"

    assert _make_commands(text) == {"demo", "test", "lint"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_make_command_in_the_documents_exists(path: Path) -> None:
    assert _make_commands((ROOT / path).read_text()) <= TARGETS


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    links = _LINK.findall(_CODE.sub("", (ROOT / path).read_text()))

    assert [link for link in links if not (ROOT / path.parent / link).exists()] == []


def test_the_readme_starts_with_the_two_commands() -> None:
    assert {"demo", "test"} <= _make_commands((ROOT / "README.md").read_text())


def test_every_target_is_listed_and_phony() -> None:
    listed = set(re.findall(r"^([a-z][a-z-]*):.*## ", MAKEFILE, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)

    assert phony is not None
    assert listed == TARGETS == set(phony[1].split())


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in DOCUMENTS if path.parent.name == "decisions" and path.name != "template.md"]

    assert len(numbers) == len(set(numbers))
    assert all(number.isdigit() for number in numbers)
