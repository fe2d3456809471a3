"""Find the batches that a file was already submitted as."""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from models import BatchState
from pressroom.batches.lines import open_input
from pressroom.batches.read_input import PromptOptions
from pressroom.jobs.batch_counts import BatchCounts

_FIND = text(
    """
    SELECT id, state, input_name, total, succeeded, failed, cancelled, expired, est_cost_usd, cost_usd, at_risk_usd,
      created_at, finished_at
    FROM batches WHERE project_id = :project_id AND fingerprint = :fingerprint AND state NOT IN ('validating', 'failed')
    ORDER BY created_at DESC, id DESC
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBatch(BatchCounts):
    """A batch that was submitted from the same input before."""

    id: UUID
    state: BatchState
    input_name: str
    created_at: datetime
    finished_at: datetime | None


def fingerprint(path: Path, prompt_options: PromptOptions, base_url: str) -> str:
    """Sha256 over the file's bytes, the options that make requests of them, and the provider.

    Raises InvalidInput for a file that cannot be read.
    """
    with open_input(path) as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return fingerprint_of(content, prompt_options, base_url)


def fingerprint_of(content: str, prompt_options: PromptOptions, base_url: str) -> str:
    """The same for a file whose own sha256 is known."""
    parts = ["pressroom batch 1", content, base_url, asdict(prompt_options)]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def find_batches(conn: Connection, project_id: UUID, fingerprint: str) -> list[KnownBatch]:
    """The project's batches of that fingerprint, the newest first."""
    rows = conn.execute(_FIND, {"project_id": project_id, "fingerprint": fingerprint})
    return [KnownBatch(**{**row, "state": BatchState(row["state"])}) for row in rows.mappings()]
