"""The standard library's own documentation, read from its sources. Nothing is imported, so nothing runs."""

import ast
import sys
import sysconfig
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

MAX_CHARACTERS = 1500
"""Of a document: about 350 tokens."""

_LEAST_CHARACTERS = 160
_MEMBERS_PER_MODULE = 6
_SKIPPED = frozenset(
    ("antigravity", "encodings", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tests", "this", "turtledemo")
)

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Document:
    """What the library says about one of its modules, classes or functions."""

    name: str
    text: str


def documents() -> Iterator[Document]:
    """Each documented module followed by its best-documented members, in an order that only the Python version decides.

    Raises FileNotFoundError when this Python comes without its library's sources.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    names = sorted(name for name in sys.stdlib_module_names if not name.startswith("_") and name not in _SKIPPED)
    found = [(name, path) for top in names for name, path in _sources(root, top)]
    if not found:
        raise FileNotFoundError(
            f"no sources of the standard library in {root}: use a Python that has them, or --texts 0"
        )
    # Every seventh module at a time, so that the first documents come from the whole alphabet.
    for start in range(7):
        for name, path in found[start::7]:
            yield from _of_module(name, path)


def _sources(root: Path, top: str) -> Iterator[tuple[str, Path]]:
    """The public modules of one top-level name, with their files."""
    if (root / f"{top}.py").is_file():
        yield top, root / f"{top}.py"
    for path in sorted((root / top).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not any(part.startswith("_") or part in _SKIPPED for part in parts):
            yield ".".join(parts), path


def _of_module(name: str, path: Path) -> Iterator[Document]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old escapes in the library's strings
        tree = ast.parse(path.read_bytes())
    public = [node for node in tree.body if isinstance(node, _Definition) and not node.name.startswith("_")]
    about = ast.get_docstring(tree) or ""
    if len(about) >= _LEAST_CHARACTERS:
        contents = "\n".join(f"  {_signature(node)}" for node in islice(public, 12))
        yield Document(name, _trimmed(f"module {name}\n\n{about}\n\nDefines:\n{contents}" if contents else about))
    described = [(node, ast.get_docstring(node) or "") for node in public]
    described = [(node, text) for node, text in described if len(text) >= _LEAST_CHARACTERS]
    for node, text in sorted(described, key=lambda pair: -len(pair[1]))[:_MEMBERS_PER_MODULE]:
        yield Document(f"{name}.{node.name}", _trimmed(f"{_signature(node)}  (in {name})\n\n{text}"))


def _signature(node: _Definition) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    return f"{node.name}({ast.unparse(node.args)})"


def _trimmed(text: str) -> str:
    """At most MAX_CHARACTERS, cut between lines where a line ends in the last third, else between words."""
    if len(text) <= MAX_CHARACTERS:
        return text
    cut = text[: MAX_CHARACTERS - 2]
    line_end = cut.rfind("\n", 2 * MAX_CHARACTERS // 3)
    return f"{cut[:line_end].rstrip()}\n…" if line_end > 0 else textwrap.shorten(cut, MAX_CHARACTERS, placeholder=" …")
