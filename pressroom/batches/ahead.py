"""Do slow things a few items ahead on threads, in order and in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(work: Callable[[T], R], items: Iterable[T], *, threads: int) -> Iterator[R]:
    """`map(work, items)` with at most twice `threads` results waiting. The first error ends it."""
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="ahead") as executor:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(executor.submit(work, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
