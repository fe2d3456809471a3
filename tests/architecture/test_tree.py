"""The tree keeps the rules of tests/architecture/rules.py."""

from tests.architecture import rules
from tests.architecture.tree import files, python_files, text_of


def test_the_tree_is_seen() -> None:
    names = {str(path) for path in files()}

    assert {"pyproject.toml", "models/job.py", "tests/architecture/tree.py"} <= names
    assert len(python_files()) > 50


def test_no_machine_paths_no_registries_nothing_unfinished() -> None:
    faults = [
        fault for path in files() if (text := text_of(path)) is not None for fault in rules.text_faults(path, text)
    ]

    assert not faults, "\n".join(faults)


def test_files_functions_and_parameter_lists_keep_their_budgets() -> None:
    faults = [fault for path in python_files() for fault in rules.size_faults(path, text_of(path) or "")]

    assert not faults, "\n".join(faults)


def test_no_file_is_named_after_nothing() -> None:
    """A file is one use-case or one idea, named by it."""
    shapeless = {"utils.py", "util.py", "common.py", "helpers.py", "misc.py", "service.py"}

    assert [str(path) for path in python_files() if path.name in shapeless] == []
