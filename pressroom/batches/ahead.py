"""Do slow things a few items ahead on threads, in order and in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int,
    weigh: Callable[[T], int] = lambda item: 0,
    most: int = 0,
) -> Iterator[R]:
    """`map(work, items)` with at most twice `threads` results waiting. The first error ends it.

    Results together heavier than `most` do not wait either, but for one that is so by itself.
    """
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="ahead") as executor:
        waiting: deque[tuple[Future[R], int]] = deque()
        total = 0
        try:
            for item in items:
                weight = weigh(item)
                while waiting and (len(waiting) >= 2 * threads or total + weight > most):
                    future, was = waiting.popleft()
                    total -= was
                    yield future.result()
                waiting.append((executor.submit(work, item), weight))
                total += weight
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()
