"""Reads docs/guides and runs their code: every block, in order, each language in a process of its own.

A guide says the same thing in curl, Python and Node. All blocks of one language make one script, so that a later block
goes on where an earlier one stopped. A ```text block is what the block before it prints, where `…` stands for anything.
A block with `file=NAME` is a file that the scripts find beside them.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.tree import ROOT

GUIDES = ROOT / "docs" / "guides"
NODE_FOLDER = ROOT / "tests" / "clients" / "node"
_FENCE = re.compile(r"^```(?P<info>\S.*)\n(?P<code>(?:.*\n)*?)^```$", re.MULTILINE)
_MARK = "\x1e"
_SCRIPT_SECONDS = 90


@dataclass(frozen=True)
class Block:
    """One fenced block, and what the guide says that it prints (None: nothing is said)."""

    language: str
    code: str
    line: int
    file: str | None = None
    prints: str | None = None


@dataclass(frozen=True)
class Language:
    """How a language's script is named and run, and how it marks the end of a block."""

    suffix: str
    command: tuple[str, ...]
    mark: str
    before: str = ""


LANGUAGES: Mapping[str, Language] = {
    "bash": Language(".sh", ("bash",), "printf '\\036'", "set -euo pipefail"),
    "python": Language(".py", (sys.executable, "-W", "error"), 'print(end="\\x1e", flush=True)'),
    "javascript": Language(".mjs", ("node",), 'process.stdout.write("\\x1e");'),
}


def read_guide(text: str) -> list[Block]:
    """The blocks of a guide, in order; what one prints belongs to the block before it."""
    blocks: list[Block] = []
    for found in _FENCE.finditer(text):
        language, _, rest = found["info"].partition(" ")
        line = text.count("\n", 0, found.start()) + 1
        if language == "text" and blocks and not rest:
            last = blocks.pop()
            blocks.append(Block(last.language, last.code, last.line, last.file, found["code"]))
            continue
        file = rest.removeprefix("file=") if rest.startswith("file=") else None
        blocks.append(Block(language, found["code"], line, file))
    return blocks


def as_said(printed: str, said: str) -> bool:
    """Whether what was printed is what the guide shows; `…` stands for anything, also for several lines."""
    pattern = ".*?".join(re.escape(part) for part in said.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


@dataclass(frozen=True)
class Ran:
    """How a script ended, and what each of its blocks printed."""

    blocks: list[Block]
    printed: list[str]
    code: int
    errors: str

    def faults(self) -> list[str]:
        """What is not as the guide says, one entry each."""
        if self.code != 0:
            done = len(self.printed) - 1
            where = self.blocks[min(done, len(self.blocks) - 1)].line
            return [f"line {where}: exit code {self.code} after {self.printed[-1]!r}\n{self.errors[-3000:]}"]
        return [
            f"line {block.line}: the guide says\n{block.prints}but it printed\n{printed}"
            for block, printed in zip(self.blocks, self.printed, strict=False)
            if block.prints is not None and not as_said(printed, block.prints)
        ]


def run_blocks(blocks: list[Block], language: str, folder: Path, environment: Mapping[str, str]) -> Ran:
    """Run a guide's blocks of one language in `folder`, with our commands on the path and OpenAI's packages at hand."""
    spoken = LANGUAGES[language]
    for block in blocks:
        if block.file is not None:
            (folder / block.file).write_text(block.code)
    own = [block for block in blocks if block.language == language and block.file is None]
    if language == "javascript":
        (folder / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)
    script = folder / f"guide{spoken.suffix}"
    script.write_text("\n".join([spoken.before, *(f"{block.code}{spoken.mark}" for block in own)]) + "\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        [*spoken.command, script.name],
        cwd=folder,
        env={**environment, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SCRIPT_SECONDS,
        check=False,
    )
    return Ran(own, ended.stdout.split(_MARK), ended.returncode, ended.stderr)
