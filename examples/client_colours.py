"""A program of your own: words and pictures for a list of things, with the Python client.

    export PRESSROOM_API_URL=http://127.0.0.1:8400 PRESSROOM_API_KEY=$(cat .pressroom/admin.key)
    python examples/client_colours.py out/colours

Started again it asks for nothing twice within a day: its idempotency keys are made of what it asks.
"""

import hashlib
import sys
from pathlib import Path

from pressroom.client import ClientError, Pressroom, Results

COLOURS = ("vermilion", "indigo", "ochre", "verdigris")


def key(purpose: str) -> str:
    """The same for the same colours, so that a second run finds the jobs of the first."""
    return f"{purpose}-{hashlib.sha256(repr(COLOURS).encode()).hexdigest()[:16]}"


def main(folder: Path) -> None:
    """Ask for both, wait, save the pictures, and say what it cost."""
    with Pressroom() as press:
        words = press.map(
            "Describe the colour {row} in one sentence.",
            COLOURS,
            model="gpt-4o-mini",
            body={"max_tokens": 40},
            idempotency_key=key("words"),
            priority_class="bulk",
        )
        pictures: Results = press.map(
            "a swatch of {row}, letterpress",
            COLOURS,
            model="dall-e-2",
            url="/v1/images/generations",
            body={"size": "256x256"},
            idempotency_key=key("pictures"),
        )
        paths = press.download_images([one.job for one in pictures if one.has_succeeded], folder)
    for colour, result in zip(COLOURS, words, strict=True):
        said = result.text if result.has_succeeded else f"({result.job.error})"
        sys.stdout.write(f"{colour}: {said}\n")
    cost = words.cost_usd + pictures.cost_usd
    sys.stdout.write(f"{len(paths)} pictures in {folder}, ${cost.normalize():f} in all\n")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/colours"))
    except ClientError as error:
        sys.exit(f"client_colours: {error}")
