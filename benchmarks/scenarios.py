"""Quota used, 429s, losses and duplicates under limits that the sandbox enforces, by number of worker processes.

    python -m benchmarks scenarios [NAME ...] [--workers 1,2,4,8] [--seconds 60]

Workers are real processes that share a local stack; the sandbox answers over HTTP and enforces an announced bucket and,
where the scenario says so, a hidden one. Every text item takes exactly 120 tokens, so TPM binds (8.33/s of 600 RPM,
152.8/s of 10,000). Wall time is from the submission's commit to the last result's, with the workers up and idle before;
the ideal is what the quota allows, stored credit included, plus one mean latency. All else is read from the sandbox's
own log: `used` is admitted calls over what the limits let through, after a warm-up and before the tail.
"""

import argparse
from dataclasses import asdict

from benchmarks.load_scenarios import SCENARIOS
from benchmarks.report import print_table, write_json
from benchmarks.rig import rig
from benchmarks.scenario_run import Outcome, run

_COLUMNS = (
    "scenario", "workers", "items", "wall s", "over ideal", "quota used %", "429 %", "429s", "lost", "duplicates",
    "worker CPU ms/item", "sandbox stalled s",
)  # fmt: skip


def main() -> None:
    """Parse, measure, report."""
    options = _options()
    wanted = [one for one in SCENARIOS if not options.names or one.name in options.names]
    outcomes: list[Outcome] = []
    with rig() as at:
        for scenario in wanted:
            for workers in options.workers:
                for outcome in run(at, scenario.for_seconds(options.seconds), workers):
                    outcomes.append(outcome)
                    print(" ".join(str(part) for part in _row(outcome)), flush=True)
    print_table("Under enforced limits", _COLUMNS, [_row(outcome) for outcome in outcomes])
    write_json("scenarios", vars(options), [asdict(outcome) for outcome in outcomes])


def _options() -> argparse.Namespace:
    known = "\n".join(f"  {one.name:15} {one.about}" for one in SCENARIOS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks scenarios",
        description=__doc__,
        epilog=f"scenarios (all, if none is named):\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--workers", type=lambda s: [int(n) for n in s.split(",")], default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the steady state")
    options = parser.parse_args()
    unknown = set(options.names) - {one.name for one in SCENARIOS}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; see --help")
    return options


def _row(outcome: Outcome) -> tuple[object, ...]:
    flush = outcome.share_429_after_flush
    return (
        outcome.scenario if outcome.round == 1 else f"{outcome.scenario}, again",
        outcome.workers,
        outcome.items,
        round(outcome.wall_seconds, 1),
        "-" if outcome.over_ideal is None else f"{outcome.over_ideal:.3f}",
        "-" if outcome.used is None else f"{100 * outcome.used:.2f}",
        f"{100 * outcome.share_429:.3f}" + ("" if flush is None else f" ({100 * flush:.3f} in 30 s after)"),
        outcome.answered_429,
        outcome.lost,
        outcome.duplicates,
        round(outcome.worker_cpu_ms_per_item, 2),
        outcome.sandbox_stalled_seconds,
    )


if __name__ == "__main__":
    main()
