"""docs/threat-model.md is tested as docs/ledger.md is: what it says stops somebody names the tests that show it."""

import re
from pathlib import Path

from tests.test_specification import missing, proofs, statements

DOCUMENT = Path(__file__).parents[1] / "docs" / "threat-model.md"
CLAIMS, _, NOT_COVERED = DOCUMENT.read_text("utf-8").partition("## Not covered\n")


def test_every_test_and_decision_that_it_names_is_there() -> None:
    assert [each for proof in proofs(CLAIMS).values() for each in missing(proof)] == []


def test_whatever_stops_somebody_is_shown() -> None:
    ends = [re.search(r"\.\[\^([\w-]+)\]$", each) for each in statements(CLAIMS)]
    assert [each for each, end in zip(statements(CLAIMS), ends, strict=True) if end is None] == []
    assert [end[1] for end in ends if end is not None] == list(proofs(CLAIMS))


def test_what_is_not_covered_is_told_and_claims_no_test() -> None:
    assert statements(NOT_COVERED)
    assert "[^" not in NOT_COVERED
