"""The OpenAI SDK alone: so many calls at once, and its own retries, which follow Retry-After."""

import asyncio
from typing import Any

import openai

from benchmarks.peers.starting_line import Go, Task, run


def prepare(task: Task) -> Go:
    """`options`: `at_once` and `max_retries`."""
    runner = asyncio.Runner()
    client = openai.AsyncOpenAI(base_url=task.base_url, api_key="sandbox", max_retries=int(task.options["max_retries"]))
    turn = asyncio.Semaphore(int(task.options["at_once"]))

    async def ask(number: int, body: dict[str, Any]) -> int | None:
        async with turn:
            try:
                await client.chat.completions.create(**body)
            except openai.APIError as error:
                print(f"item {number}: {error}", flush=True)
                return None
        return number

    async def ask_all() -> list[int]:
        answers = await asyncio.gather(*(ask(number, body) for number, body in enumerate(task.bodies)))
        return [number for number in answers if number is not None]

    return lambda: runner.run(ask_all())


if __name__ == "__main__":
    run(prepare, ("openai",))
