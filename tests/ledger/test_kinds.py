"""The records of kinds and types: one of each, and nothing left over."""

from collections import Counter
from typing import get_args

import pytest

from wallet.ledger.fingerprint import fingerprint
from wallet.ledger.kinds import KINDS
from wallet.ledger.requests import Single
from wallet.ledger.transaction_types import BUILT_IN, EXPIRY, RELEASE, layout_of


def test_each_kind_of_request_has_a_record_of_its_own() -> None:
    assert [kind.request for kind in KINDS.values()] == list(KINDS) == list(get_args(Single))


def test_each_built_in_type_is_posted_by_one_kind_or_by_none() -> None:
    posted = Counter(each.name for kind in KINDS.values() for each in kind.types)
    assert posted == dict.fromkeys(BUILT_IN.keys() - {EXPIRY.name, RELEASE.name}, 1)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.request.__name__)
def test_a_request_that_has_one_type_has_that_of_its_record(kind) -> None:
    if "type" in kind.request._field_defaults and kind.types:
        assert [each.name for each in kind.types] == [kind.request._field_defaults["type"]]


@pytest.mark.parametrize("type_", BUILT_IN.values(), ids=lambda type_: type_.name)
def test_the_layout_of_a_type_begins_with_the_type_and_fits_a_fingerprint(type_) -> None:
    assert layout_of(type_.name) is type_.layout
    assert type_.layout[0] == "type"
    assert len(set(type_.layout)) == len(type_.layout)
    # The function that names differing fields looks no further.
    assert len(fingerprint(type_.layout, [b""] * len(type_.layout))) <= 256


def test_only_what_reserves_moves_nothing() -> None:
    assert all(each.steps for each in BUILT_IN.values() if not each.has_entries)
