"""Lists of types, hold steps, wallet events and scopes in SQL, compared with the records they must agree with.

PostgreSQL checks by these lists what the ledger decides by the records, so neither may know a type that the other does
not know. If a type is added, these tests name the file and the list that lacks it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from wallet.http.routes.key_bodies import NewKey
from wallet.ledger.kinds import KINDS, POST
from wallet.ledger.transaction_types import BUILT_IN, EXPIRY, MERGE, UNCOUNTED_TYPES, Refunds
from wallet.service.access.callers import BINDABLE, Scope
from wallet.storage.reads.walks import TYPES_MOST_HAVE

STORAGE = Path(__file__).parents[2] / "src" / "wallet" / "storage"
FILES = {
    str(path.relative_to(STORAGE)): path.read_text("utf-8")
    for path in sorted(STORAGE.rglob("*.sql"))
    if "migrations" not in path.parts
}

TYPES = frozenset(BUILT_IN)
STEPS = frozenset(step for each in BUILT_IN.values() for step in each.steps)
EVENTS = frozenset(event for kind in KINDS.values() for event in kind.events)

MOST = frozenset(each.name for each in POST.types)
BY_AMOUNT = frozenset(each.name for each in BUILT_IN.values() if each.refunds is Refunds.BY_AMOUNT)
NEVER = frozenset(each.name for each in BUILT_IN.values() if each.refunds is Refunds.NEVER)
WITHOUT_ENTRIES = frozenset(each.name for each in BUILT_IN.values() if not each.has_entries)
OF_A_HOLD = frozenset(each.name for each in BUILT_IN.values() if each.steps) - {MERGE.name, EXPIRY.name}

# Rows of these types are told by their hold from general transactions that had the name before.
FREE = frozenset(each.name for each in BUILT_IN.values() if each.was_free)

# In the order in which they stand in the file. A set in braces follows from no record: its statement says why.
LISTS: dict[str, list[frozenset[str] | set[str]]] = {
    "batch/load_special.sql": [UNCOUNTED_TYPES],
    "batch/write_special.sql": [{"close", "merge_out"}],
    "reads/walks.sql": [MOST],
    "schema/schema.sql": [MOST, STEPS, EVENTS],
    "verify/history.sql": [
        {"close", "reopen", "merge_out"},
        {"close", "reopen", "merge_out"},
        {"refund", "expiry"},
    ],
    "verify/holds.sql": [{"place", "increase"}, {"place", "move_in"}],
    "verify/refunds.sql": [BY_AMOUNT - FREE, BY_AMOUNT & FREE, NEVER - FREE, NEVER & FREE],
    "verify/transactions.sql": [
        WITHOUT_ENTRIES - FREE,
        WITHOUT_ENTRIES & FREE,
        OF_A_HOLD - FREE,
        {"merge", "refund"},
        {"topup", "bonus", "grant", "refund"},
    ],
    "verify/wallets.sql": [{"close", "reopen", "merge_out"}],
}

_LIST = re.compile(r"\b(?:type|kind) (?:NOT )?IN \(\s*('[a-z_]+'(?:,\s*'[a-z_]+')*)\s*\)")


def lists_in(text: str) -> Iterator[tuple[int, frozenset[str]]]:
    """The lists that a type or a kind of step or event is looked for in, and their lines."""
    for found in _LIST.finditer(text):
        words = frozenset(re.findall(r"'([a-z_]+)'", found[1]))
        if words & (TYPES | STEPS | EVENTS):
            yield text.count("\n", 0, found.start()) + 1, words


def test_every_file_with_such_a_list_is_known() -> None:
    assert {name for name, text in FILES.items() if any(lists_in(text))} == LISTS.keys()


@pytest.mark.parametrize("name", LISTS)
def test_each_list_is_what_the_records_say(name: str) -> None:
    found = list(lists_in(FILES[name]))
    assert len(found) == len(LISTS[name]), f"{name} has lists in lines {[line for line, _ in found]}"
    for (line, words), expected in zip(found, LISTS[name], strict=True):
        lacks, unknown = sorted(expected - words), sorted(words - expected)
        assert words == expected, f"storage/{name}, line {line}: lacks {lacks}, and has {unknown} besides"


def test_the_types_that_no_index_has_are_the_same_in_code() -> None:
    assert TYPES_MOST_HAVE == MOST


def test_the_scopes_of_keys_are_the_same_in_the_schema_and_in_bodies() -> None:
    every, bindable = (frozenset(scope.value for scope in scopes) for scopes in (Scope, BINDABLE))
    lists = re.findall(r"scopes <@ ARRAY\[([^\]]+)\]", FILES["schema/schema.sql"])
    assert [frozenset(re.findall(r"'([a-z:]+)'", each)) for each in lists] == [every, bindable]
    (schema,) = msgspec.json.schema_components([NewKey])[1].values()
    assert set(schema["properties"]["scopes"]["anyOf"][0]["items"]["enum"]) == every


def test_no_list_names_what_no_record_has() -> None:
    assert set().union(*(words for lists in LISTS.values() for words in lists)) <= TYPES | STEPS | EVENTS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\nWHERE t.type NOT IN ('topup', 'bonus')", [(2, {"topup", "bonus"})]),
        ("CHECK (\n    kind IN (\n  'place',\n 'void'\n))", [(2, {"place", "void"})]),
        ("kind IN ('user', 'treasury')", []),
        ("relkind IN ('close')", []),
    ],
)
def test_a_list_is_found_however_it_is_broken(text: str, found: list[tuple[int, set[str]]]) -> None:
    assert list(lists_in(text)) == found
