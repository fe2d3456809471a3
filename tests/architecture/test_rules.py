"""Each rule about the text of the tree can fail, and lets good text pass."""

from pathlib import PurePath

import pytest

from tests.architecture import rules

MODULE = PurePath("pressroom/thing.py")
TEST = PurePath("tests/unit/test_thing.py")


# Written in two halves, so that this file keeps the rules too.
@pytest.mark.parametrize(
    "line",
    [
        "see /" + "root/notes.txt",
        'Path("/' + 'home/someone/x")',
        "/" + "Users/me/",
        "--index" + "-url https://example.org",
        "image: ghcr" + ".io/someone/thing",
        "https://pypi" + ".org/simple",
        "# TO" + "DO: later",
        "raise NotImplemented" + "Error",
    ],
)
def test_text_that_does_not_belong_is_found_with_its_line(line: str) -> None:
    faults = rules.text_faults(MODULE, f"fine\n{line}\n")

    assert len(faults) == 1
    assert faults[0].startswith("pressroom/thing.py:2: ")


@pytest.mark.parametrize("line", ["postgres:18-alpine", "/etc/ssl/certs", "work/", "a/home/b", "todo list", "/tmp/x"])
def test_good_text_passes(line: str) -> None:
    assert rules.text_faults(MODULE, line) == []


def test_a_file_over_its_budget_is_found() -> None:
    assert rules.size_faults(MODULE, "x = 1\n" * rules.MODULE_LINES) == []
    assert "401 lines" in rules.size_faults(MODULE, "x = 1\n" * (rules.MODULE_LINES + 1))[0]


def test_tests_may_be_longer() -> None:
    assert rules.size_faults(TEST, "x = 1\n" * rules.TEST_LINES) == []
    assert "501 lines" in rules.size_faults(TEST, "x = 1\n" * (rules.TEST_LINES + 1))[0]


def test_a_long_function_is_found() -> None:
    body = "    x = 1\n"

    assert rules.size_faults(MODULE, "def f():\n" + body * (rules.FUNCTION_LINES - 1)) == []
    assert "f has 61 lines" in rules.size_faults(MODULE, "def f():\n" + body * rules.FUNCTION_LINES)[0]


@pytest.mark.parametrize(
    "source",
    [
        "def f(a, b, c, d, e): ...",
        "def f(a, b, /, c, d, e=1): ...",
        "async def f(a, b, c, d, e): ...",
        "class A:\n    def f(self, a, b, c, d, e): ...",
        "class A:\n    @staticmethod\n    def f(a, b, c, d, e): ...",
    ],
)
def test_five_positional_parameters_are_found(source: str) -> None:
    assert "takes 5 positional parameters" in rules.size_faults(MODULE, source)[0]


@pytest.mark.parametrize(
    "source",
    [
        "def f(a, b, c, d, *, e, f): ...",
        "class A:\n    def f(self, a, b, c, d): ...",
        "def test_f(a, b, c, d, e): ...",
        "@pytest.fixture(scope='session')\ndef f(a, b, c, d, e): ...",
    ],
)
def test_keyword_only_parameters_and_pytest_s_own_do_not_count(source: str) -> None:
    assert rules.size_faults(TEST, source) == []


def test_a_drawn_tree_is_read_with_its_parents() -> None:
    drawn = "A sentence first.\n\nRoot\n├── Left      why\n│   └── Deep  why\n└── Right\n"

    assert rules.printed_tree(drawn) == {"Root": None, "Left": "Root", "Deep": "Left", "Right": "Root"}
