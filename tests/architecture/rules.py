"""The rules about the text of the tree, as functions from a file's text to what is wrong with it."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePath

MODULE_LINES = 400
TEST_LINES = 500
FUNCTION_LINES = 60
POSITIONAL = 4

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Folders that exist only on somebody's machine, and the hosts that packages and images come from. Where they come from
# is the business of the machine that installs.
_MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|work|farm|home|Users|workspaces?|mnt)/")
_REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.|docker\.io|docker\.com|ghcr\.io|gcr\.io|quay\.io|--(?:extra-)?index-url"
)
_UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X|NotImplemented[E]rror)\b")


def text_faults(path: PurePath, text: str) -> list[str]:
    """Machine paths, registry hosts and unfinished work: for every text file."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in (("machine path", _MACHINE_PATH), ("registry", _REGISTRY), ("unfinished", _UNFINISHED)):
            if match := pattern.search(line):
                found.append(f"{path}:{number}: {what} {match.group()!r}")
    return found


def size_faults(path: PurePath, text: str) -> list[str]:
    """Python that is over the budgets: lines of the file, lines of a function, positional parameters."""
    budget = TEST_LINES if "tests" in path.parts else MODULE_LINES
    lines = len(text.splitlines())
    found = [f"{path}: {lines} lines, at most {budget}: find the second idea in it"] if lines > budget else []
    for function, owned in _functions(ast.parse(text)):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES:
            found.append(f"{path}:{function.lineno}: {function.name} has {length} lines, at most {FUNCTION_LINES}")
        count = _positional(function, owned=owned)
        if count > POSITIONAL and not _called_by_pytest(function):
            found.append(
                f"{path}:{function.lineno}: {function.name} takes {count} positional parameters, at most {POSITIONAL}"
            )
    return found


def _functions(tree: ast.Module) -> Iterator[tuple[Function, bool]]:
    """Every function of a module, and whether a class owns it."""
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield child, isinstance(parent, ast.ClassDef)


def _decorators(function: Function) -> set[str]:
    """The last names of its decorators: `fixture` for `@pytest.fixture(scope=...)`."""
    return {ast.unparse(decorator).split("(")[0].rpartition(".")[2] for decorator in function.decorator_list}


def _positional(function: Function, *, owned: bool) -> int:
    bound = owned and "staticmethod" not in _decorators(function)
    return len(function.args.posonlyargs) + len(function.args.args) - bound


def _called_by_pytest(function: Function) -> bool:
    """Tests and fixtures name what they use; nobody passes it to them by position."""
    return function.name.startswith("test_") or bool(_decorators(function) & {"fixture", "rule", "invariant"})


def printed_tree(docstring: str) -> dict[str, str | None]:
    """The classes of a tree drawn in a docstring, each with its parent (None for the root)."""
    parents: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    for line in docstring.splitlines():
        match = re.match(r"^(?P<lead>[│├└─ ]*)(?P<name>[A-Z]\w+)(?P<rest>\s{2,}.*)?$", line)
        if match is None or (not match["lead"] and match["rest"]):
            continue
        depth = len(match["lead"])
        while path and path[-1][0] >= depth:
            path.pop()
        if depth and not path:
            continue
        parents[match["name"]] = path[-1][1] if path else None
        path.append((depth, match["name"]))
    return parents
