"""Every example in docs/guides works as it is written: in curl, in Python and in Node, against a live API."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fixtures.api import LiveApi
from tests.guide.guides import GUIDES, LANGUAGES, Block, Ran, as_said, read_guide, run_blocks

PAGES = sorted(path for path in GUIDES.glob("*.md") if path.name != "README.md")
SPOKEN = ("bash", "python", "javascript")
EXAMPLES = [(page, language) for page in PAGES for language in SPOKEN]


@pytest.fixture(scope="module")
def guide_environment(shared_api: LiveApi) -> Mapping[str, str]:
    """What a reader has set: the address and the key, and for the command line the servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PRESSROOM_", "OPENAI_"))}
    return kept | {
        **shared_api.system.base_environment,
        "PRESSROOM_API_URL": shared_api.origin,
        "PRESSROOM_API_KEY": shared_api.key,
    }


@pytest.mark.slow
@pytest.mark.parametrize(("page", "language"), EXAMPLES, ids=[f"{page.stem}-{spoken}" for page, spoken in EXAMPLES])
def test_the_guide_s_examples_work(
    page: Path, language: str, tmp_path: Path, guide_environment: Mapping[str, str]
) -> None:
    ran = run_blocks(read_guide(page.read_text()), language, tmp_path, guide_environment)

    assert ran.faults() == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_guide_speaks_all_three_languages_and_says_what_comes_out(page: Path) -> None:
    blocks = read_guide(page.read_text())

    assert {block.language for block in blocks if block.file is None} >= set(SPOKEN)
    assert {block.language for block in blocks if block.prints is not None} >= {"bash", "python", "javascript"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_block_of_a_guide_is_left_out(page: Path) -> None:
    unknown = [
        f"line {block.line}: {block.language}"
        for block in read_guide(page.read_text())
        if block.file is None and block.language not in LANGUAGES
    ]

    assert unknown == []


def test_there_are_guides() -> None:
    assert len(PAGES) >= 9


def test_a_guide_is_read_with_its_files_and_what_its_blocks_print() -> None:
    text = "Say:\n\n```json file=a.json\n{}\n```\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n```bash\ntrue\n```\n"

    assert read_guide(text) == [
        Block("json", "{}\n", 3, file="a.json"),
        Block("python", "print(1)\n", 7, prints="1\n"),
        Block("bash", "true\n", 15),
    ]


@pytest.mark.parametrize(
    ("printed", "said", "same"),
    [
        ("job_1 done\n", "job_… done", True),
        ("a\nb\nc\n", "a\n…\nc\n", True),
        ("a.c", "abc", False),
        ("one more", "one", False),
        ("", "something", False),
    ],
)
def test_dots_stand_for_anything_and_all_else_for_itself(printed: str, said: str, same: bool) -> None:
    assert as_said(printed, said) is same


@pytest.mark.parametrize(
    ("code", "prints", "fault"),
    [
        ("print('yes')\n", "yes\n", None),
        ("print('no')\n", "yes\n", "the guide says\nyes\nbut it printed\nno"),
        ("raise SystemExit(3)\n", None, "exit code 3"),
    ],
)
def test_an_example_that_does_not_do_what_it_says_is_seen(
    tmp_path: Path, code: str, prints: str | None, fault: str | None
) -> None:
    ran: Ran = run_blocks([Block("python", code, 1, prints=prints)], "python", tmp_path, dict(os.environ))

    assert ran.faults() == [] if fault is None else fault in ran.faults()[0]
