"""The files of this repository, as git knows them: what is committed and what is about to be."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

GENERATED = ("migrations/versions/",)
"""Written by a tool and then left alone: sizes do not apply."""


@cache
def files() -> tuple[Path, ...]:
    """Every file that is tracked, or new and not ignored, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return tuple(sorted(path for name in listed.split("\0") if name and (ROOT / (path := Path(name))).is_file()))


def text_of(path: Path) -> str | None:
    """A file's text; None for what is not text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def python_files() -> list[Path]:
    """The Python files that people write."""
    return [path for path in files() if path.suffix == ".py" and not str(path).startswith(GENERATED)]
