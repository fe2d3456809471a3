"""Another program on the same account: calls at a steady rate, deaf to 429s. `python -m benchmarks.foreign_client`."""

import argparse
import asyncio
import random

import aiohttp

from benchmarks import batches

MARKER = "foreign-"
"""Its calls carry an X-Client-Request-Id that begins so."""
_MOST_AT_ONCE, _MOST_IN_ALL = 500, 1_000_000


async def run(base_url: str, per_second: float, seconds: float) -> None:
    """Send for so long, at moments that have nothing to do with anybody's, and wait for the answers."""
    loop, rng = asyncio.get_running_loop(), random.Random(1)
    bodies = batches.exact_bodies(_MOST_IN_ALL, label="foreign item")
    places = asyncio.Semaphore(_MOST_AT_ONCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as calls:
        at = loop.time()
        end = at + seconds
        number = 0
        while (at := at + rng.uniform(0.5, 1.5) / per_second) < end:
            await asyncio.sleep(max(0.0, at - loop.time()))
            await places.acquire()
            number += 1
            call = calls.create_task(_call(session, base_url, next(bodies), number))
            call.add_done_callback(lambda _: places.release())


async def _call(session: aiohttp.ClientSession, base_url: str, body: dict[str, object], number: int) -> None:
    headers = {"Authorization": "Bearer somebody-else", "X-Client-Request-Id": f"{MARKER}{number}"}
    async with session.post(f"{base_url}/chat/completions", json=body, headers=headers) as response:
        await response.read()


def main() -> None:
    """The rate and the length as arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("per_second", type=float)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    asyncio.run(run(options.base_url, options.per_second, options.seconds))


if __name__ == "__main__":
    main()
