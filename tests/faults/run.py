"""A run: traffic all the time, one fault after another, and after each of them everything is checked."""

import asyncio
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cli.running import variables_set
from tests.faults.database import Postgres
from tests.faults.report import Report, conditions
from tests.faults.rig import WALLETS, WORKERS, Pace, Rig, rigged
from tests.faults.scenarios import FAULTS, Fault
from tests.faults.volume import Volume, volume

# Brisk: time-outs are shorter than the service's own, so that whatever waits for one is soon seen.
SHORT = Pace(
    clients=6,
    pace_seconds=0.02,
    answer_seconds=3.0,
    freeze_seconds=(0.5, 1.5),
    away_seconds=(0.1, 0.5),
    acknowledged_between=25,
    settings={
        "WALLET_IDLE_TRANSACTION_MS_MAX": "1000",
        "WALLET_STATEMENT_TIMEOUT_MS": "3000",
        "WALLET_UNKNOWN_SECONDS_MAX": "2",
        "WALLET_LOCK_TIMEOUT_MS": "500",
    },
)
# As it is deployed: no setting is changed.
LONG = Pace(
    clients=6,
    pace_seconds=0.04,
    answer_seconds=8.0,
    freeze_seconds=(1.0, 12.0),
    away_seconds=(0.2, 4.0),
    acknowledged_between=200,
)
VOLUME_MIB = 640
VOLUME_MIB_PER_MINUTE = 40
LIVING_SHARE = 0.25
"""For so much of a timed run any fault may come. Then workers are left alive, or nothing could be said of their memory.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`minutes` None: every kind of fault once."""

    seed: int
    minutes: float | None = None
    only: Sequence[str] = ()
    on_disk: bool = False
    pace: Pace = SHORT
    log: Path | None = None

    @property
    def faults(self) -> list[Fault]:
        return [each for each in FAULTS if not self.only or each.kind in self.only]


def run(plan: Plan, say: Callable[[str], None]) -> Report:
    """Carry it out. Only in the main thread, with no event loop under way: the database's life is tied to it."""
    report = Report(seed=plan.seed, minutes=plan.minutes, conditions={})
    mib = VOLUME_MIB + round(VOLUME_MIB_PER_MINUTE * (plan.minutes or 0))
    with volume(mib, on_disk=plan.on_disk) as place:
        postgres = Postgres(place.folder)
        postgres.initialise()
        report.conditions = conditions(
            postgres=postgres.version,
            volume="disk" if place.why_not else f"memory, {mib} MiB",
            workers=WORKERS,
            wallets=WALLETS,
            clients=plan.pace.clients,
            settings=plan.pace.settings or "the service's own",
        )
        # An interrupted run is worth a report, too.
        with suppress(KeyboardInterrupt):
            asyncio.run(_run(plan, report, place, postgres, say))
    return report


async def _run(plan: Plan, report: Report, place: Volume, postgres: Postgres, say: Callable[[str], None]) -> None:
    async with rigged(place, postgres, plan.pace, seed=str(plan.seed)) as rig:
        begun_at = time.monotonic()
        try:
            await rig.traffic.acknowledged_more(plan.pace.acknowledged_between)
            await _keep(rig, report, "before any fault", always_verify=True)
            for fault in _drawn(plan, report, place, begun_at):
                if report.violations:
                    break
                await _break(rig, fault, report, say)
            await _keep(rig, report, "at the end", always_verify=True)
            report.violations += await _verify_as_users_do(rig)
            report.is_whole = True
        except Exception:
            report.violations.append(traceback.format_exc())
        finally:
            ended_at = time.monotonic()
            report.seconds = round(ended_at - begun_at, 1)
            report.requests, report.answers = rig.traffic.requests, dict(rig.traffic.seen)
            report.counts, report.overtaken = rig.checker.counts, rig.checker.overtaken
            report.verified, report.last_verify_seconds = rig.verified, round(rig.verify_seconds, 2)
            report.memory = rig.memory.quarters(begun_at, ended_at)
            report.workers_seen = rig.memory.workers_seen
            report.longest_life_seconds = rig.memory.longest_life_seconds
            rig.service.new_log()
            if report.violations and plan.log is not None:
                plan.log.write_text(f"{rig.service.last_log}\n\nPostgreSQL:\n{postgres.log()}")


def _drawn(plan: Plan, report: Report, place: Volume, begun_at: float) -> Iterator[Fault]:
    """Every kind once, in any order; in a timed run again and again until its time is over."""
    choose = random.Random(f"{plan.seed}-order")
    seconds = None if plan.minutes is None else 60 * plan.minutes
    spares_workers = seconds is not None and not all(each.ends_workers for each in plan.faults)
    while True:
        faults = plan.faults
        choose.shuffle(faults)
        for fault in faults:
            gone = time.monotonic() - begun_at
            if seconds is not None and gone > seconds:
                return
            if fault.needs_volume and place.why_not:
                report.skipped[fault.kind] = place.why_not
            elif not (spares_workers and fault.ends_workers and gone > LIVING_SHARE * (seconds or 0)):
                yield fault
        if seconds is None or len(report.skipped) == len(plan.faults):
            return


async def _break(rig: Rig, fault: Fault, report: Report, say: Callable[[str], None]) -> None:
    begun_at = time.monotonic()
    rig.notes, rig.whole_at = {}, 0.0
    rig.history.listen(begun_at)
    await fault.inject(rig)
    rig.proxy.disarm()
    if not rig.whole_at:
        rig.whole()
    recovery = await rig.recovered()
    await rig.traffic.acknowledged_more(rig.pace.acknowledged_between)
    report.injected[fault.kind] = report.injected.get(fault.kind, 0) + 1
    report.recovery.setdefault(fault.kind, []).append(round(recovery, 3))
    report.silence.setdefault(fault.kind, []).append(round(rig.history.silence_seconds, 3))
    for name, value in rig.notes.items():
        report.notes.setdefault(name, []).append(round(value, 3))
    silence = rig.history.silence_seconds
    checked_at = time.monotonic()
    await _keep(rig, report, fault.kind, always_verify=False)
    say(
        f"{fault.kind}: whole after {rig.whole_at - begun_at:.1f} s, recovered {recovery:.2f} s later, "
        f"nothing acknowledged for {silence:.2f} s, "
        f"checked in {time.monotonic() - checked_at:.1f} s {rig.notes or ''}"
    )


async def _keep(rig: Rig, report: Report, after: str, *, always_verify: bool) -> None:
    for each in await rig.check(always_verify=always_verify):
        report.violations.append(f"after '{after}': {each}")


async def _verify_as_users_do(rig: Rig) -> list[str]:
    """By the command, beside the traffic."""
    command = [sys.executable, "-c", "from wallet.cli.main import main; main()", "verify", "--json"]
    environment = {name: value for name, value in os.environ.items() if name not in variables_set()}
    verifying = await asyncio.create_subprocess_exec(
        *command,
        env=environment | {"DATABASE_URL": rig.postgres.dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await verifying.communicate())[0].decode(errors="replace")
    return [] if verifying.returncode == 0 else [f"wallet verify ended with {verifying.returncode}: {said}"]
