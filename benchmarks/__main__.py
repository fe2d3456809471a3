"""`python -m benchmarks`: the benchmarks of docs/benchmarks.md, one after the other. About an hour and a half.

`python -m benchmarks NAME …` runs one, with its own options.

`python -m benchmarks --quick` has fewer jobs and rounds and a short steady state: about 10 minutes.
"""

import argparse
import subprocess
import sys

FULL = (
    ("floor",),
    ("cpu_per_job",),
    ("scenarios",),
    ("claim",),
    ("fairness",),
    ("limiter_batches",),
    ("limiter_simulation",),
)
QUICK = (
    ("floor", "--calls", "2000", "--rounds", "2"),
    ("cpu_per_job", "--jobs", "1500", "--rounds", "2"),
    ("claim", "--jobs", "300000", "--claims", "100", "--behind", "20000"),
    ("fairness", "--bulk", "100000", "--seconds", "10"),
    ("scenarios", "S1", "S2", "--workers", "2"),
    ("scenarios", "steady-600", "steady-10000", "--workers", "1,2,4", "--seconds", "15"),
)


def main() -> None:
    """Run each in a process of its own; exits 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        raise SystemExit(subprocess.run([sys.executable, "-m", f"benchmarks.{sys.argv[1]}", *sys.argv[2:]]).returncode)
    failed = []
    for name, *options in QUICK if parser.parse_args().quick else FULL:
        print(f"\n## {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options]).returncode != 0:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
