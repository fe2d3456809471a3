"""oaib as its README has it: `Batch` with the account's two limits, everything else as it comes."""

import asyncio

from oaib import Batch

from benchmarks.peers.starting_line import Go, Task, run


def prepare(task: Task) -> Go:
    """All requests are in the batch's queue before the start. It gives up on an item that fails, as its log says."""
    runner = asyncio.Runner()
    batch = Batch(
        rpm=task.rpm,
        tpm=task.tpm,
        api_key="sandbox",
        base_url=task.base_url,
        logdir=str(task.directory / "oaib.txt"),
    )

    async def fill() -> None:
        for number, body in enumerate(task.bodies):
            await batch.add("chat.completions.create", metadata={"number": number}, **body)

    def go() -> list[int]:
        output = runner.run(batch.run())
        return [int(number) for number in output["number"]] if len(output) else []

    runner.run(fill())
    return go


if __name__ == "__main__":
    run(prepare, ("oaib", "openai"))
