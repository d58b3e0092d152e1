"""The records of operations, compared with what ledger and service say of the same kinds."""

import re
from typing import Any, get_args

import msgspec
import pytest

from wallet.http.operations.kinds import ANSWERS, ITEMS, OPERATIONS, item_request
from wallet.http.operations.operation import Builder
from wallet.ledger.requests import CancelClaim, ChangeWallet, Grant, Merge, PlaceClaim, RedeemClaim, Settle, Single
from wallet.ledger.transaction_types import BUILT_IN
from wallet.service.access.kinds import scopes_needed
from wallet.service.writes.commands import Commands

WALLET = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
# A value of each field that some body must have.
EXAMPLES: dict[str, Any] = {
    **{f"{name}_id": WALLET for name in ("wallet", "from_wallet", "to_wallet", "hold", "transaction")},
    **dict.fromkeys(("amount", "expires_in_seconds"), 5),
    "asset_code": "GOLD",
    "type": "exchange",
    "legs": [{"wallet_id": WALLET, "direction": "debit", "amount": 1}] * 2,
}

each_operation = pytest.mark.parametrize("op", ITEMS)


def request_of(op: str, **more: Any) -> Single:
    """The request of an operation that is told nothing but what it must be told."""
    operation = OPERATIONS[op]
    required = [field.name for field in msgspec.structs.fields(operation.body) if field.required]
    named = [] if operation.target is None else [operation.target.name]
    members = {name: EXAMPLES[name] for name in [*required, *named]}
    return item_request(Builder(Commands(), {}), op, {"reference_id": "r", **members, **more})


@each_operation
def test_it_makes_a_request_of_its_kind(op: str) -> None:
    operation, request = OPERATIONS[op], request_of(op)
    assert type(request) is operation.kind.request
    names = {"exchange"} if op == "transaction" else {each.name for each in operation.kind.types}
    assert request.type in names


@each_operation
def test_whoever_may_use_its_route_may_send_what_it_makes(op: str) -> None:
    assert not scopes_needed(request_of(op)).isdisjoint(OPERATIONS[op].scopes)


def test_a_forced_refund_has_a_scope_of_its_own_on_the_same_route() -> None:
    assert scopes_needed(request_of("refund", force=True)) <= set(OPERATIONS["refund"].scopes)


def test_every_kind_that_a_client_may_send_has_an_operation_or_routes_of_its_own() -> None:
    performed = {operation.kind.request for operation in OPERATIONS.values()}
    answered_in_another_way = {Merge, ChangeWallet, PlaceClaim, RedeemClaim, CancelClaim}
    only_the_services_own = {Grant, Settle}
    assert performed | answered_in_another_way == set(get_args(Single)) - only_the_services_own


def test_an_operation_has_the_name_of_its_type() -> None:
    assert OPERATIONS.keys() - BUILT_IN.keys() == {"transaction"}


@pytest.mark.parametrize("op", OPERATIONS)
def test_all_operations_of_a_kind_are_answered_alike(op: str) -> None:
    assert ANSWERS[OPERATIONS[op].kind.request] is OPERATIONS[op].answered


@pytest.mark.parametrize("op", OPERATIONS)
def test_its_path_names_its_target_and_nothing_else(op: str) -> None:
    target = OPERATIONS[op].target
    assert re.findall(r"{(\w+)}", OPERATIONS[op].path) == ([] if target is None else [target.name])


@pytest.mark.parametrize("op", [op for op, operation in OPERATIONS.items() if operation.is_hot])
def test_a_hot_operation_is_of_a_wallet_or_of_none(op: str) -> None:
    # As the fast lane tells paths apart.
    assert re.fullmatch(r"(/wallets/{wallet_id})?/[a-z]+", OPERATIONS[op].path)
