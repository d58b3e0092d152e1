"""Break it for as long as asked: python -m tests.faults --minutes 60 --seed 7 --report report.json"""

import argparse
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.faults.run import LONG, SHORT, Plan, run
from tests.faults.scenarios import FAULTS

MEMORY_GROWTH_MAX = 1.5
VIOLATIONS_SHOWN = 20


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="The real service on a PostgreSQL of its own, under traffic, broken in one way after another; "
        "after each, everything is checked. The seed decides what is done and in which order, not how processes meet.",
    )
    parser.add_argument("--minutes", type=float, help="how long; otherwise every kind of fault once")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--report", type=Path, default=Path("fault-results/report.json"), help="file to write into")
    parser.add_argument("--only", choices=[each.kind for each in FAULTS], action="append", help="repeatable")
    parser.add_argument("--brisk", action="store_true", help="with the short time-outs of the tests")
    parser.add_argument("--disk", action="store_true", help="the database on a disk, which is then never full")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    """0 if all that was promised held."""
    arguments = _arguments(words)
    report_path: Path = arguments.report
    report_path.parent.mkdir(parents=True, exist_ok=True)
    print(f"seed {arguments.seed}", flush=True)
    plan = Plan(
        seed=arguments.seed,
        minutes=arguments.minutes,
        only=tuple(arguments.only or ()),
        on_disk=arguments.disk,
        pace=SHORT if arguments.brisk or arguments.minutes is None else LONG,
        log=report_path.with_suffix(".log"),
    )
    report = run(plan, lambda line: print(line, flush=True))
    growth = report.memory_growth()
    if growth is not None and arguments.minutes is not None and growth > MEMORY_GROWTH_MAX:
        report.violations.append(f"the workers' memory grew by {growth} from the second quarter to the last")
    report.write(report_path)
    print("\n".join(report.lines()))
    for each in report.violations[:VIOLATIONS_SHOWN]:
        print(f"WRONG: {each}")
    if report.violations:
        print(f"Again: python -m tests.faults {' '.join(words) if '--seed' in words else _with_seed(words, plan.seed)}")
        print(f"Logs: {plan.log}")
    if not report.is_whole:
        print("The run was not finished.")
    return 0 if report.is_whole and not report.violations else 1


def _with_seed(words: Sequence[str], seed: int) -> str:
    return " ".join([*words, "--seed", str(seed)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
