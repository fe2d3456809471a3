"""What a run ends with, for people and for machines, and the line that shows it in motion."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from cli.exits import ExitCode
from cli.progress import Snapshot, plain_line, quota
from cli.results import Results
from cli.summary import Summary, next_steps, show_summary
from pressroom.jobs.progress import QuotaUse, quota_use
from pressroom.jobs.queries import BatchProgress, BatchRow
from pressroom.jobs.spending import ModelCost
from pressroom.limits.messages import PoolStatus
from pressroom.limits.pool_limits import PoolLimits

BEGAN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ID = UUID("01993f2c-0000-7000-8000-000000000001")
SHOWN = f"batch_{ID.hex}"


def batch(*, succeeded: int = 8, failed: int = 0, is_sandbox: bool = False) -> BatchRow:
    """Ten jobs; those that neither succeeded nor failed have not ended."""
    return BatchRow(
        id=ID,
        input_name="in.jsonl",
        state="completed" if succeeded + failed == 10 else "in_progress",
        metadata={},
        total=10,
        succeeded=succeeded,
        failed=failed,
        cancelled=0,
        expired=0,
        est_cost_usd=Decimal("0.2"),
        cost_usd=Decimal("0.1280000000"),
        at_risk_usd=Decimal("0.0160000000"),
        created_at=BEGAN,
        finished_at=BEGAN + timedelta(seconds=4),
        is_sandbox=is_sandbox,
    )


def summary(row: BatchRow, *, images: int = 8, artifacts: Path | None = None) -> Summary:
    """Of a run that took four seconds."""
    return Summary(
        batch=row,
        models=[ModelCost("dall-e-2", 10, row.succeeded, row.cost_usd, row.at_risk_usd)],
        how="new",
        wall_s=4.0,
        elapsed_s=9.5,
        jobs_done=10,
        input=Path("in.jsonl"),
        command="pressroom run in.jsonl",
        results=Results(Path("out dir/out.jsonl"), 10, images, artifacts),
        bucket="pressroom",
        bucket_dir=None,
    )


def test_a_machine_reads_one_object_with_exact_money(capsys: pytest.CaptureFixture[str]) -> None:
    show_summary(summary(batch(failed=2)), as_json=True)
    record = json.loads(capsys.readouterr().out)
    promised = ("batch_id", "total", "succeeded", "failed", "cost_usd", "wall_s", "jobs_per_s")
    assert [record[name] for name in promised] == [SHOWN, 10, 8, 2, "0.128", 4.0, 2.5]
    assert (record["sandbox"], record["output"], record["at_risk_usd"]) == (False, "out dir/out.jsonl", "0.016")


def test_a_person_reads_counts_costs_and_places(capsys: pytest.CaptureFixture[str]) -> None:
    show_summary(summary(batch(failed=2, is_sandbox=True)), as_json=False)
    shown = capsys.readouterr().out
    assert shown.startswith("SANDBOX")
    assert "8 of 10 jobs succeeded, 2 failed" in shown
    assert "2.5 jobs/s" in shown
    assert "s3://pressroom" in shown
    assert "What to type next:" in shown


def test_only_a_full_success_is_a_success() -> None:
    assert summary(batch(succeeded=10)).exit_code is ExitCode.OK
    assert summary(batch(failed=2)).exit_code is ExitCode.SOME_FAILED


def test_failures_come_with_the_way_to_retry_them() -> None:
    steps = next_steps(summary(batch(failed=2), images=0))
    assert steps[:2] == [
        f"pressroom jobs list --batch {SHOWN} --state failed",
        f"pressroom jobs retry --batch {SHOWN} --state failed",
    ]
    assert steps[2].startswith("pressroom run in.jsonl ")


def test_images_not_downloaded_come_with_the_way_to_download_them() -> None:
    [first, *rest] = next_steps(summary(batch(succeeded=10)))
    assert first == f"pressroom batches output {SHOWN} 'out dir/out.jsonl' --artifacts 'out dir/images'"
    assert next_steps(summary(batch(succeeded=10), artifacts=Path("pictures"))) == rest
    assert not any("retry" in step for step in rest)


def test_progress_fits_one_line() -> None:
    seen = BatchProgress(batch(succeeded=3, failed=1, is_sandbox=True), running=2, leased=1, waiting=1)
    quotas = [QuotaUse("dall-e-2", "ipm", 1490.0, 1500.0, 3), QuotaUse("gpt-4o-mini", stopped="out of money")]
    line = plain_line(Snapshot(seen, 12.0, 2.0, 3.0, quotas))
    assert line == "  ".join(
        [
            "    12 s",
            "4/10 jobs done, 1 failed, 2 running, 3 queued, 1 waiting to retry",
            "2.0 jobs/s, ETA 3.0 s",
            "$0.1280 SANDBOX (+ $0.0160 at risk)",
            "dall-e-2 99% of 1,500 ipm (3 × 429)",
            "gpt-4o-mini stopped: out of money",
        ]
    )


def test_a_limit_shows_before_the_first_call() -> None:
    unknown = PoolStatus("p", started=False)
    assert quota(quota_use("m", unknown)) == "m no limit"
    assert quota(quota_use("m", unknown, PoolLimits(ipm=50))) == "m 0% of 50 ipm"
    assert quota(quota_use("m", PoolStatus("p", started=True, in_flight=3), PoolLimits(concurrency=4))) == (
        "m 75% of 4 in flight"
    )
