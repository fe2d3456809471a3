"""How far it is, for whoever waits: a bar in a terminal, a bar in a notebook, a call back, or nothing.

Rich and IPython are imported only where they are used: the one is slow to load, the other need not be installed.
"""

import html
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of a piece of work has ended. `total` is zero until it is known."""

    done: int
    total: int
    failed: int = 0
    what: str = "jobs"

    def __str__(self) -> str:
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.done:,} of {self.total:,} {self.what}{failed}"


ProgressOption: TypeAlias = bool | Callable[[Counts], None] | None
"""True or None: a bar where somebody sees it (None: only in a terminal or notebook). False: nothing. Or your own."""


class Progress(Protocol):
    """Told of every change, and closed at the end."""

    def show(self, counts: Counts) -> None:
        """Now it is so far."""

    def close(self) -> None:
        """It is over, or given up."""


class Shown:
    """A context in which progress is shown in the way that was asked for."""

    def __init__(self, option: ProgressOption) -> None:
        self._progress = _choose(option)
        self._last: Counts | None = None

    def __call__(self, counts: Counts) -> None:
        """Show it, if it is another than before."""
        if counts != self._last:
            self._last = counts
            self._progress.show(counts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.close()


def _choose(option: ProgressOption) -> Progress:
    if option is False:
        return _Nothing()
    if callable(option):
        return _Told(option)
    if in_notebook():
        return _NotebookBar()
    if option is True or sys.stderr.isatty():
        return _TerminalBar()
    return _Nothing()


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel; a plain IPython prompt is a terminal."""
    loaded = sys.modules.get("IPython")
    shell = loaded.get_ipython() if loaded is not None else None
    return hasattr(shell, "kernel")


class _Nothing:
    def show(self, counts: Counts) -> None:
        pass

    def close(self) -> None:
        pass


class _Told:
    def __init__(self, tell: Callable[[Counts], None]) -> None:
        self._tell = tell

    def show(self, counts: Counts) -> None:
        self._tell(counts)

    def close(self) -> None:
        pass


class _TerminalBar:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        # On stderr: what a script prints can still be piped.
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("jobs", total=None)
        self._bar.start()

    def show(self, counts: Counts) -> None:
        said = f"{counts.what}, {counts.failed:,} failed" if counts.failed else counts.what
        self._bar.update(self._task, description=said, completed=counts.done, total=counts.total or None)

    def close(self) -> None:
        self._bar.stop()


class _NotebookBar:
    def __init__(self) -> None:
        # Only ever inside a notebook, which has it; we do not ask for it to be installed.
        self._display: Any = importlib.import_module("IPython.display")
        self._shown: Any = None

    def show(self, counts: Counts) -> None:
        drawn = self._display.HTML(bar_html(counts))
        if self._shown is None:
            self._shown = self._display.display(drawn, display_id=True)
        else:
            self._shown.update(drawn)

    def close(self) -> None:
        pass


def bar_html(counts: Counts) -> str:
    """A bar with its counts."""
    most = f' max="{counts.total}" value="{counts.done}"' if counts.total else ""
    return f'<div><progress style="width:20em"{most}></progress> {html.escape(str(counts))}</div>'
