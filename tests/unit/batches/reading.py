"""Read inputs in tests."""

from pathlib import Path

from pressroom.batches.read_input import InputLine, PromptOptions, read_lines

CHAT = PromptOptions(model="gpt-4o-mini")
PICTURES = PromptOptions(model="dall-e-2")


def read(path: Path, content: bytes, options: PromptOptions | None = None) -> list[InputLine]:
    """Every line of a file with this content."""
    path.write_bytes(content)
    return list(read_lines(path, options if options is not None else PromptOptions()))


def complaints(lines: list[InputLine]) -> list[str]:
    """Every problem, as people see it."""
    return [str(problem) for line in lines for problem in line.problems]


def prompts(lines: list[InputLine]) -> list[str]:
    """The prompts of good lines."""
    good = [line.body for line in lines if not line.problems]
    return [body["prompt"] if "prompt" in body else body["messages"][-1]["content"] for body in good]
