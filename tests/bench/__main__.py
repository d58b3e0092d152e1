"""Run the benchmark: python -m tests.bench [--quick] [--only plain] ..."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import goals, report
from tests.bench.conditions import conditions, cores_usable
from tests.bench.postgres import NotDurable, running_server
from tests.bench.runs import Runs, mark_discarded
from tests.bench.sequence import Plan, carry_out

_PARTS = ("plain", "service", "workers", "bulk")


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="The plain design by pgbench and the service over HTTP, alternating, on one durable PostgreSQL. "
        "BENCH_DATABASE_URL names a server on this machine to use instead of the embedded one (two databases, "
        "bench_plain and bench_service, are made there anew and dropped afterwards).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=7.0, help="of a main run; the others take 60 %% of it")
    parser.add_argument("--rounds", type=int, default=3, help="of all runs; medians are taken over them")
    parser.add_argument("--wallets", type=int, default=100_000, help="in the service's database")
    parser.add_argument("--lines", type=int, default=100_000, help="of an import")
    parser.add_argument("--only", choices=_PARTS, action="append", help="leave out the other parts; repeatable")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds: does it work at all?")
    parser.add_argument("--keep-disturbed", action="store_true", help="count runs that a slow disk or others disturbed")
    parser.add_argument("--results", type=Path, default=Path("bench-results"), help="folder to write into")
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.seconds, arguments.rounds = 2.0, 1
    if arguments.seconds < 1 or arguments.rounds < 1 or arguments.wallets < 100:
        parser.error("--seconds and --rounds must be at least 1, --wallets at least 100")
    return arguments


def main(words: Sequence[str]) -> int:
    """0 if everything ran and the money adds up, whatever the goals say; 1 otherwise."""
    arguments = _arguments(words)
    folder = arguments.results.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    started_at = time.monotonic()
    plan = Plan(
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        wallets=arguments.wallets,
        funded=min(10_000, arguments.wallets),
        lines=arguments.lines,
        parts=tuple(arguments.only or _PARTS),
    )
    results: dict[str, object] = {"started_at": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        with running_server(
            database_url=os.environ.get("BENCH_DATABASE_URL"),
            data_dir=folder / "bench-postgres-data",
            bindir=Path(bindir) if (bindir := os.environ.get("WALLET_PG_BINDIR")) else None,
        ) as server:
            results["conditions"] = conditions(
                server, seconds=plan.seconds, rounds=plan.rounds, wallets=plan.wallets, funded=plan.funded
            )
            print(f"PostgreSQL {server.settings['server_version']}, durable; {plan.rounds} round(s)", flush=True)
            runs, found = carry_out(
                plan,
                server,
                probe_folder=server.probe_folder(folder),
                log=folder / "service.log",
                say=lambda line: print(line, flush=True),
            )
    except NotDurable as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    cores = cores_usable()
    results["usual_flush_us"] = mark_discarded(runs, cores=cores)
    counted = Runs(runs, keep_disturbed=arguments.keep_disturbed)
    judged = goals.evaluate(counted, cores=cores, memory=found.get("memory"), bytes_on_disk=found.get("bytes"))
    results |= found
    results |= {"goals": [goal.as_json() for goal in judged], "runs": [asdict(run) for run in runs]}
    results["took_seconds"] = round(time.monotonic() - started_at)
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    (folder / "report.html").write_text(report.html(results, runs, counted, judged, cores=cores))
    print(f"\n{report.console(runs, counted, judged, results)}\n\nwritten: {folder / 'report.html'} and results.json")
    agree = all(found[name]["agrees"] for name in ("money", "plain_money") if name in found)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
