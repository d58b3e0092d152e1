"""Cursors say where a list goes on, to whom they were given and for what they were given."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.errors import Malformed
from wallet.service.reads.cursors import Cursors

CURSORS = Cursors(b"k" * 32)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=255)
key_parts = st.text("0123456789abcdef-", max_size=36) | st.integers(-(2**63), 2**63 - 1)


def assert_malformed(cursor: str, list_name: str = "transactions", filters: dict[str, str] | None = None) -> None:
    with pytest.raises(Malformed) as raised:
        CURSORS.read(cursor, list_name, filters or {})
    assert [each.field for each in raised.value.errors] == ["cursor"]


@given(st.dictionaries(texts, texts, max_size=1), st.lists(key_parts, min_size=1, max_size=2))
def test_a_cursor_is_read_as_it_was_signed(filters: dict[str, str], last_key: list[str | int]) -> None:
    cursor = CURSORS.sign("transactions", filters, last_key)
    assert CURSORS.read(cursor, "transactions", filters) == tuple(last_key)


def test_a_cursor_can_stand_in_a_url_as_it_is() -> None:
    cursor = CURSORS.sign("declines", {"reference_id": "ÿ?" * 100}, [2**63 - 1])
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_order_of_filters_means_nothing() -> None:
    cursor = CURSORS.sign("transactions", {"a": "1", "b": "2"}, [1])
    assert CURSORS.read(cursor, "transactions", {"b": "2", "a": "1"}) == (1,)


def test_a_cursor_of_another_list_is_malformed() -> None:
    assert_malformed(CURSORS.sign("transactions", {}, [1]), "ledger_entries")


@pytest.mark.parametrize("filters", [{}, {"reference_id": "txn-2"}, {"type": "txn-1"}])
def test_a_cursor_with_other_filters_is_malformed(filters: dict[str, str]) -> None:
    assert_malformed(CURSORS.sign("transactions", {"reference_id": "txn-1"}, [1]), "transactions", filters)


def test_a_cursor_signed_with_another_key_is_malformed() -> None:
    assert_malformed(Cursors(b"x" * 32).sign("transactions", {}, [1]))


def test_a_cursor_changed_in_any_character_is_malformed() -> None:
    cursor = CURSORS.sign("transactions", {}, [1])
    for place, character in enumerate(cursor):
        for other in {"A", "B", "_", "=", "+", "é"} - {character}:
            assert_malformed(cursor[:place] + other + cursor[place + 1 :])


def test_a_cursor_cut_or_lengthened_is_malformed() -> None:
    cursor = CURSORS.sign("transactions", {}, [1])
    for length in range(len(cursor)):
        assert_malformed(cursor[:length])
    for more in ("A", "AAAA", "=", "\n", " "):
        assert_malformed(cursor + more)


def test_a_cursor_of_another_version_is_malformed() -> None:
    cursor = CURSORS.sign("transactions", {}, [1])
    signed = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    signed[0] = 2
    assert_malformed(base64.urlsafe_b64encode(signed).decode().rstrip("="))


@given(st.text(max_size=64))
def test_any_other_text_is_malformed(text: str) -> None:
    assert_malformed(text)


def test_a_very_long_text_is_malformed() -> None:
    assert_malformed("A" * 1_000_000)
