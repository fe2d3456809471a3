"""`pressroom demo`: a mixed batch of real input through the whole system, on the sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import load_settings
from cli.exits import CouldNotRun
from cli.options import Json, Workers, examples, typed_again
from cli.terminal import say
from cli.wording import count

# Held by the sandbox and told to the limiter, so that the quota display means something. With these the pictures take
# 40 s and the texts 40 s, side by side.
LIMITS = ("dall-e-2:ipm=1500", "gpt-4o-mini:rpm=900,tpm=400000")
_SANDBOX: dict[str, Any] = {
    "limits": {
        "dall-e-2": {"ipm": 1500, "burst_seconds": 60, "quantum_seconds": 1},
        "gpt-4o-mini": {"rpm": 900, "tpm": 400_000, "burst_seconds": 60, "quantum_seconds": 1},
    },
}
_ROOT = Path(__file__).resolve().parents[1]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Images and texts on the SANDBOX.",
        epilog=examples("pressroom demo", "pressroom demo --images 100 --texts 60 --workers 4"),
    )(demo)


def demo(
    ctx: typer.Context,
    *,
    directory: Annotated[
        Path, typer.Option("--directory", file_okay=False, metavar="DIR", help="Where input and results go.")
    ] = Path("out/demo"),
    images: Annotated[int, typer.Option("--images", metavar="N", min=0, help="DALL·E 2 images at 256x256.")] = 1000,
    texts: Annotated[int, typer.Option("--texts", metavar="N", min=0, help="GPT-4o mini texts.")] = 600,
    workers: Workers = 2,
    as_json: Json = False,
) -> None:
    """Run a mixed batch of images and texts from examples/ on the SANDBOX, under limits that it enforces.

    Nothing is sent to OpenAI and nothing is billed, whatever the environment says. An interrupted demo is resumed; a
    finished one starts anew. Needs a source checkout.
    """
    from cli.results import Places
    from cli.run_batch import RunRequest, run_batch
    from cli.summary import show_summary
    from pressroom.limits.pool_limits import parse_limits

    # The demo's limits and prompts are for the sandbox; a key in the environment must not turn it into a bill.
    settings = load_settings(ctx.obj).model_copy(update={"openai_api_key": None, "sandbox_url": None})
    batch = directory / "batch.jsonl"
    write_batch(batch, images=images, texts=texts)
    config = directory / "sandbox.json"
    config.write_text(json.dumps(_SANDBOX, indent=2) + "\n", encoding="utf-8")
    say(f"{batch}: {count(images, 'image')} of pictographs, {count(texts, 'text')} about the standard library")
    request = RunRequest(
        input=batch,
        places=Places(directory / "output.jsonl", contact_sheet=directory / "contact-sheet.jpg"),
        limits=parse_limits(limit for limit, number in zip(LIMITS, (images, texts), strict=True) if number),
        workers=workers,
        again=False,
        renew=True,
        keep_limits=False,
        sandbox_config=config,
        command=typed_again(sys.argv),
    )
    summary = run_batch(settings, request)
    show_summary(summary, as_json=as_json)
    raise typer.Exit(summary.exit_code)


def write_batch(path: Path, *, images: int, texts: int) -> None:
    """Generate the demo's input. Raises CouldNotRun outside a source checkout, and what the generator says."""
    if not (_ROOT / "examples" / "make_demo_batch.py").is_file():
        raise CouldNotRun(
            f"there is no examples/ in {_ROOT}: the demo runs from a source checkout (git clone, then make demo); "
            "`pressroom run` takes your own input"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "examples.make_demo_batch", str(path.resolve())]
    command += ["--images", str(images), "--texts", str(texts)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CouldNotRun(f"the demo's batch could not be written: {done.stderr.strip()}")
