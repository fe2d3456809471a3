"""bespokelabs-curator as its documentation has it: an `LLM` with a prompt and the account's two limits set by hand.

Its ten retries are its default. Without `require_all_responses=False` one lost item would discard all the others.
"""

import importlib
from typing import Any

from bespokelabs import curator

from benchmarks.peers.starting_line import Go, Task, run


class Items(curator.LLM):  # type: ignore[misc]
    """One prompt an item."""

    def prompt(self, input: dict[str, Any]) -> str:
        """The message of the request."""
        return str(input["content"])

    def parse(self, input: dict[str, Any], response: str) -> dict[str, Any]:
        """A row of the result."""
        return {"number": input["number"], "response": response}


def prepare(task: Task) -> Go:
    """The rows, and an LLM that asked for the account's limits already."""
    # LiteLLM brings the tokenizer's vocabulary and says so when this is imported; else it would be downloaded.
    importlib.import_module("litellm.litellm_core_utils.default_encoding")
    first = task.bodies[0]
    rows = [{"number": n, "content": body["messages"][0]["content"]} for n, body in enumerate(task.bodies)]
    llm = Items(
        model_name=first["model"],
        backend="openai",
        generation_params={"max_tokens": first["max_tokens"]},
        backend_params={
            "base_url": task.base_url,
            "api_key": "sandbox",
            "max_requests_per_minute": task.rpm,
            "max_tokens_per_minute": task.tpm,
            "require_all_responses": False,
        },
    )

    def go() -> list[int]:
        return [int(row["number"]) for row in llm(rows, working_dir=str(task.directory)).dataset]

    return go


if __name__ == "__main__":
    run(prepare, ("bespokelabs-curator", "litellm"))
