"""Where the house's synchronous functions run: on bounded pools of threads, never on the event loop."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

THREADS = 16
"""Short questions that one process asks at a time; as many connections to PostgreSQL are kept."""
LONG_THREADS = 4
"""Uploads and ingests at a time; they must not keep short questions waiting."""

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Threads start with the first call, not here.
_short = ThreadPoolExecutor(THREADS, thread_name_prefix="api")
_long = ThreadPoolExecutor(LONG_THREADS, thread_name_prefix="api-long")


async def in_thread(fn: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a house function that takes milliseconds. A caller that goes away does not stop it."""
    return await _run(_short, fn, *args, **kwargs)


async def in_long_thread(fn: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run what may take seconds or minutes: storing an upload, taking in a file."""
    return await _run(_long, fn, *args, **kwargs)


async def _run(pool: ThreadPoolExecutor, fn: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(pool, partial(context.run, partial(fn, *args, **kwargs)))
