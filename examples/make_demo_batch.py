"""Write the demo's batch: pictures of pictographs and summaries of the standard library's documentation.

    python -m examples.make_demo_batch OUT.jsonl [--images 1000] [--texts 600]

The file is in the OpenAI Batch format. The same Python version writes the same file every time; nothing is downloaded.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from examples.pictographs import picture_prompts
from examples.standard_library import Document, documents

IMAGES, TEXTS = 1000, 600
IMAGE_URL, TEXT_URL = "/v1/images/generations", "/v1/chat/completions"

_SYSTEM = "You write for busy Python programmers: plain words, no preamble, nothing that the text does not say."
_TASKS = (
    ("Summarise this documentation in two sentences.", 90),
    ("Say in one sentence what this is for, then name one situation in which to use it.", 110),
    ("Explain this to somebody in their first month of Python, in at most 80 words.", 150),
    ("List the three facts here that a reviewer should know, one line each.", 130),
    ("Write a changelog-style line that announces this feature.", 60),
    ("What could go wrong when using this, going by the text alone? Two sentences.", 100),
)

Line = dict[str, Any]


def demo_lines(*, images: int = IMAGES, texts: int = TEXTS) -> Iterator[Line]:
    """The requests of the demo, pictures and texts evenly mixed. Raises FileNotFoundError (no library sources)."""
    pictures, summaries = picture_lines(images), summary_lines(texts, documents())
    total = images + texts
    for index in range(total):
        picture_is_due = (index + 1) * images // total > index * images // total
        yield next(pictures if picture_is_due else summaries)


def picture_lines(count: int) -> Iterator[Line]:
    """`count` DALL·E 2 requests at 256x256."""
    for number, (subject, prompt) in enumerate(picture_prompts(count), start=1):
        body = {"model": "dall-e-2", "prompt": prompt, "n": 1, "size": "256x256", "response_format": "url"}
        yield _line(subject.removeprefix("a ").removeprefix("an "), number, url=IMAGE_URL, body=body)


def summary_lines(count: int, about: Iterable[Document]) -> Iterator[Line]:
    """`count` GPT-4o mini requests; once all documents were used they come back with another question."""
    for number, (document, (task, max_tokens)) in enumerate(islice(_questions(about), count), start=1):
        messages = [
            {"role": "system", "content": _SYSTEM},
            {"role": "user", "content": f"{task}\n\n{document.text}"},
        ]
        body = {"model": "gpt-4o-mini", "messages": messages, "max_tokens": max_tokens, "temperature": 0.2}
        yield _line(document.name, number, url=TEXT_URL, body=body)


def write_demo_batch(path: Path, images: int = IMAGES, texts: int = TEXTS) -> int:
    """Write the batch to `path` and return its number of lines. Raises OSError, FileNotFoundError for no sources."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in demo_lines(images=images, texts=texts):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return images + texts


def _questions(about: Iterable[Document]) -> Iterator[tuple[Document, tuple[str, int]]]:
    seen: list[Document] = []
    for index, document in enumerate(about):
        seen.append(document)
        yield document, _TASKS[index % len(_TASKS)]
    lap = 1
    while seen:
        for index, document in enumerate(seen):
            yield document, _TASKS[(index + lap) % len(_TASKS)]
        lap += 1


def _line(name: str, number: int, *, url: str, body: dict[str, Any]) -> Line:
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", name)[:48].strip("-")
    return {"custom_id": f"{slug}-{number:04}", "method": "POST", "url": url, "body": body}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.make_demo_batch", description="Write the demo's batch.")
    parser.add_argument("output", type=Path, metavar="OUT.jsonl")
    parser.add_argument("--images", type=_count, default=IMAGES, help="DALL·E 2 requests at 256x256 (%(default)s)")
    parser.add_argument("--texts", type=_count, default=TEXTS, help="GPT-4o mini requests (%(default)s)")
    asked = parser.parse_args(arguments)
    try:
        lines = write_demo_batch(asked.output, asked.images, asked.texts)
    except OSError as error:
        parser.exit(2, f"{asked.output}: cannot write the batch: {error}\n")
    sys.stdout.write(f"{asked.output}: {lines} requests\n")
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative: give 0 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
