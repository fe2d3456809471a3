"""The limiter's Lua scripts, and Redis commands as plain values.

What the limiter does with Redis is written once, as generators that yield commands and receive replies
(`Steps`); `drive` runs them on a blocking client and `adrive` on an asyncio one. Only these two know the colour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from redis.exceptions import NoScriptError

T = TypeVar("T")
Command = tuple[Any, ...]
Steps = Generator[Command, Any, T]


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script: its text and the name Redis keeps it under."""

    text: str
    sha: str

    def call(self, keys: tuple[str, ...], *arguments: str) -> Steps[Any]:
        """Run by name; send the text when the server does not know it (first use, restart, SCRIPT FLUSH)."""
        rest = (len(keys), *keys, *arguments)
        try:
            reply = yield ("EVALSHA", self.sha, *rest)
        except NoScriptError:
            reply = yield ("EVAL", self.text, *rest)
        return reply


_PARTS: Mapping[str, tuple[str, ...]] = {"tick": ("flow", "learn", "spend", "probe")}
"""What a script is made of besides common.lua and its own file, in order."""


@cache
def script(name: str) -> Script:
    """Load `name`.lua with the parts that it uses before it."""
    folder = Path(__file__).parent
    text = "\n".join((folder / f"{part}.lua").read_text() for part in ("common", *_PARTS.get(name, ()), name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def drive(steps: Steps[T], execute: Callable[..., Any]) -> T:
    """Run steps on a blocking client's `execute_command`."""
    try:
        command = next(steps)
        while True:
            try:
                reply = execute(*command)
            except NoScriptError as missing:
                command = steps.throw(missing)
            else:
                command = steps.send(reply)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


async def adrive(steps: Steps[T], execute: Callable[..., Awaitable[Any]]) -> T:
    """Run steps on an asyncio client's `execute_command`."""
    try:
        command = next(steps)
        while True:
            try:
                reply = await execute(*command)
            except NoScriptError as missing:
                command = steps.throw(missing)
            else:
                command = steps.send(reply)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
