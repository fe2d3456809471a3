"""Pressroom and what else pip can install, side by side under limits that the sandbox announces and enforces.

    python -m benchmarks rivals [--scenario S1,S3] [--only pressroom,oaib] [--at-once 2]
    python -m benchmarks rivals --from-json [FILE]

S1   300 items at 600 RPM and 60k TPM, 10 s of credit in the account's minute buckets, 0.5 s latency
S2   900 items, 60 s of credit
S3   S1 with 4 to 6 s latency

Every item takes exactly 120 tokens, answer included, so TPM binds. Each contestant is up, idle and told both limits
when the clock starts; whoever takes three times the ideal is cut short. Two run at once, each against its own sandbox.
The second form measures nothing: it writes the table and the plot of docs/rivals.md anew from a former run's JSON.
"""

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

from benchmarks.peers import page, race
from benchmarks.peers.contestants import CONTESTANTS, Contestant, chosen
from benchmarks.peers.environments import python_of
from benchmarks.peers.race import Outcome
from benchmarks.peers.scenarios import SCENARIOS, Scenario
from benchmarks.report import OUT, print_table, write_json
from benchmarks.rig import Rig, rig
from tests.sandbox_process import SandboxProcess

_JSON = OUT / "rivals.json"


def main() -> None:
    """Measure and report, or write the page anew."""
    options = _options()
    if options.from_json is not None:
        for path in page.write(options.from_json):
            print(f"written to {path}")
        return
    for environment in dict.fromkeys(one.environment for one in options.only if one.environment):
        python_of(environment)
    deadline = time.monotonic() + 60 * options.minutes
    with _rigs(options.at_once) as rigs:
        outcomes = _run_all(rigs, [(one, where) for where in options.scenario for one in options.only], deadline)
    for scenario in options.scenario:
        rows = [page.row(one) for one in race.shown(outcomes, scenario)]
        print_table(f"{scenario.name}, ideal {scenario.ideal_seconds():.1f} s", page.COLUMNS, rows)
    for one in outcomes:
        if one.note:
            print(f"\n{one.contestant} in {one.scenario}: {one.note}")
    write_json("rivals", {"at_once": options.at_once}, [asdict(one) for one in outcomes])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", type=_scenarios, default=SCENARIOS, help="of S1,S2,S3; all by default")
    parser.add_argument("--only", type=_contestants, default=CONTESTANTS, help="names, or the starts of names")
    parser.add_argument("--at-once", type=int, default=2, help="contestants that run at the same time (%(default)s)")
    parser.add_argument("--minutes", type=float, default=14.0, help="nobody starts who might not be through by then")
    parser.add_argument("--from-json", type=Path, nargs="?", const=_JSON, help="write docs/rivals.md from a run's JSON")
    return parser.parse_args()


def _scenarios(text: str) -> list[Scenario]:
    known = {scenario.name: scenario for scenario in SCENARIOS}
    try:
        return [known[name] for name in text.split(",")]
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"{error} is none of {', '.join(known)}") from error


def _contestants(text: str) -> list[Contestant]:
    try:
        return chosen(text.split(","))
    except LookupError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


@contextmanager
def _rigs(count: int) -> Iterator[list[Rig]]:
    """One stack, and `count` sandboxes on it."""
    with rig() as at, ExitStack() as stack:
        more = [stack.enter_context(SandboxProcess()) for _ in range(count - 1)]
        yield [at, *(replace(at, sandbox=sandbox) for sandbox in more)]


def _run_all(rigs: Iterable[Rig], runs: Sequence[tuple[Contestant, Scenario]], deadline: float) -> list[Outcome]:
    """All of them in the order given, as many at a time as there are sandboxes, Pressroom only once at a time."""
    free: SimpleQueue[Rig] = SimpleQueue()
    for at in rigs:
        free.put(at)
    books = Lock()

    def run(contestant: Contestant, scenario: Scenario) -> Outcome:
        with ExitStack() as stack:
            if contestant.workers:
                stack.enter_context(books)
            at = free.get()
            stack.callback(free.put, at)
            if time.monotonic() + race.PATIENCE * scenario.ideal_seconds() > deadline:
                return race.not_run(contestant, scenario)
            outcome = race.run(at, contestant, scenario)
        print(" ".join(str(part) for part in (scenario.name, *page.row(outcome))), flush=True)
        return outcome

    with ThreadPoolExecutor(max_workers=free.qsize()) as pool:
        return list(pool.map(lambda pair: run(*pair), runs))


if __name__ == "__main__":
    main()
