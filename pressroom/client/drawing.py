"""HTML for notebooks, without scripts or styles of its own. Everything that comes from outside is escaped."""

import base64
import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_COLOURS = {
    "succeeded": "#1a7f37",
    "completed": "#1a7f37",
    "failed": "#cf222e",
    "expired": "#9a6700",
    "cancelled": "#6e7781",
}


class Picture(NamedTuple):
    """A small picture and what to write under it."""

    content: bytes
    content_type: str
    caption: str


def card(title: str, state: str, facts: Iterable[tuple[str, object]]) -> str:
    """One thing with its state and what is known of it; facts that are None are left out."""
    rows = "".join(
        f'<tr><td style="text-align:left">{_text(name)}</td><td style="text-align:left">{_text(value)}</td></tr>'
        for name, value in facts
        if value is not None
    )
    return f"<div><b>{_text(title)}</b> {state_label(state)}<table>{rows}</table></div>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, more: int = 0) -> str:
    """Rows under their columns; the column called `state` in its colours."""
    head = "".join(f'<th style="text-align:left">{_text(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(_cell(name, value) for name, value in zip(columns, row, strict=True)) + "</tr>" for row in rows
    )
    rest = f"<div>… and {more:,} more</div>" if more else ""
    return f"<table><tr>{head}</tr>{body}</table>{rest}"


def gallery(pictures: Iterable[Picture]) -> str:
    """Pictures side by side, inside the page itself: a notebook has no key to fetch them with."""
    return "".join(
        '<figure style="display:inline-block;margin:4px;width:128px;vertical-align:top">'
        f'<img style="max-width:128px" src="data:{_text(one.content_type)};base64,'
        f'{base64.b64encode(one.content).decode()}">'
        f'<figcaption style="font-size:80%">{_text(one.caption)}</figcaption></figure>'
        for one in pictures
    )


def state_label(state: str) -> str:
    """A state in its colour."""
    return f'<span style="color:{_COLOURS.get(state, "#0969da")}">{_text(state)}</span>'


def _cell(column: str, value: object) -> str:
    shown = state_label(str(value)) if column == "state" else _text("" if value is None else value)
    return f'<td style="text-align:left">{shown}</td>'


def _text(value: object) -> str:
    return html.escape(str(value))
