"""Every kind of fault once, in an order and a manner drawn from a seed. `make torture` goes on for as long as asked."""

import os
import secrets
import sys

import pytest

from tests.faults.report import Report
from tests.faults.run import Plan, run
from tests.faults.scenarios import FAULTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="whose connection it is, is read from /proc")


@pytest.fixture(scope="module")
def report() -> Report:
    seed = int(os.environ.get("WALLET_FAULT_SEED", str(secrets.randbits(32))))
    print(f"WALLET_FAULT_SEED={seed} repeats this; so does: python -m tests.faults --seed {seed}")
    report = run(Plan(seed=seed), print)
    print("\n".join(report.lines()))
    return report


def test_what_was_acknowledged_is_there_once_and_what_was_refused_is_not(report: Report) -> None:
    assert report.violations == [], f"again: python -m tests.faults --seed {report.seed}"
    assert report.is_whole
    assert (report.counts.lost, report.counts.doubled, report.counts.refused_and_there) == (0, 0, 0)
    assert report.counts.acknowledged > 0
    assert report.verified > 1


@pytest.mark.parametrize("kind", [each.kind for each in FAULTS])
def test_the_service_recovers_by_itself_after(kind: str, report: Report) -> None:
    if kind in report.skipped:
        pytest.skip(report.skipped[kind])
    assert report.injected.get(kind) == 1, f"again: python -m tests.faults --seed {report.seed}"
    assert len(report.recovery[kind]) == 1
