"""Small input files, and taking them in."""

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, text

from pressroom.batches.ingest import IngestedBatch, IngestOptions, ingest
from pressroom.batches.read_input import PromptOptions
from pressroom.settings import SANDBOX

TODAY = date(2026, 11, 22)
OPTIONS = IngestOptions(base_url=SANDBOX)


def chat_line(number: int, **changes: Any) -> dict[str, Any]:
    """A line of a batch file that asks for text."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"question {number}"}], "max_tokens": 16}
    return {"custom_id": f"q-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body} | changes


def image_line(number: int, **body: Any) -> dict[str, Any]:
    """A line of a batch file that asks for pictures."""
    whole = {"model": "dall-e-2", "prompt": f"picture {number}", "size": "256x256"} | body
    return {"custom_id": f"p-{number}", "method": "POST", "url": "/v1/images/generations", "body": whole}


def write_jsonl(path: Path, lines: Iterable[dict[str, Any] | bytes]) -> Path:
    """A batch file; bytes are written as they are."""
    written = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    path.write_bytes(b"\n".join(written) + b"\n")
    return path


def take_in(
    engine: Engine, path: Path, *, prompts: PromptOptions | None = None, options: IngestOptions = OPTIONS
) -> IngestedBatch:
    """Ingest with the prices of a fixed day."""
    return ingest(engine, path, prompt_options=prompts, options=options, today=TODAY)


def stored(engine: Engine, columns: str = "line_no, custom_id") -> Sequence[Any]:
    """All jobs in the database, in line order."""
    with engine.connect() as conn:
        return conn.execute(text(f"SELECT {columns} FROM jobs ORDER BY line_no, id")).all()


def count(engine: Engine, table: str) -> int:
    """Rows of a table."""
    with engine.connect() as conn:
        return int(conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
