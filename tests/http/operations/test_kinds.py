"""The records of operations, compared with what ledger and service say of the same kinds."""

import re
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest

from wallet.http.operations.kinds import ANSWERS, ITEMS, OPERATIONS
from wallet.http.operations.operation import Builder
from wallet.ledger.requests import ChangeWallet, Grant, Merge, Settle, Single
from wallet.ledger.transaction_types import BUILT_IN
from wallet.service.access.kinds import scopes_needed
from wallet.service.writes.commands import Commands

WALLET = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
# A value of each field that some body must have.
EXAMPLES: dict[str, Any] = {
    **{f"{name}_id": WALLET for name in ("wallet", "from_wallet", "to_wallet", "hold", "transaction")},
    **dict.fromkeys(("amount", "expires_in_seconds"), 5),
    "asset_code": "GOLD",
    "code": "7QK2M-0VXHD-9T4BE-RZ81C-W5NAG",
    "type": "exchange",
    "legs": [{"wallet_id": WALLET, "direction": "debit", "amount": 1}] * 2,
}

# An operation is built with the id that its path names; two with what the service knows of the code besides.
INSTEAD_OF_IDS = {"claim_place": bytes(32), "claim_redeem": UUID(WALLET)}

each_operation = pytest.mark.parametrize("op", OPERATIONS)


def request_of(op: str, **more: Any) -> Single:
    """The request of an operation that is told nothing but what it must be told."""
    operation = OPERATIONS[op]
    required = [field.name for field in msgspec.structs.fields(operation.body) if field.required]
    given = msgspec.convert({**{name: EXAMPLES[name] for name in required}, **more}, operation.body)
    target = INSTEAD_OF_IDS.get(op) or (None if operation.target is None else UUID(WALLET))
    return operation.build(Builder(Commands(), {}), given, target, "r")


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


def test_every_kind_that_a_client_may_send_has_an_operation_or_changes_a_wallet() -> None:
    performed = {operation.kind.request for operation in OPERATIONS.values()}
    only_the_services_own = {Grant, Settle}
    assert performed | {Merge, ChangeWallet} == set(get_args(Single)) - only_the_services_own


def test_a_batch_may_ask_for_what_may_be_an_item_of_a_group() -> None:
    assert OPERATIONS.keys() - ITEMS.keys() == {"claim_place", "claim_redeem", "claim_cancel"}


def test_an_operation_has_the_name_of_its_type() -> None:
    assert OPERATIONS.keys() - BUILT_IN.keys() == {"transaction"}


@each_operation
def test_all_operations_of_a_kind_are_answered_alike(op: str) -> None:
    assert ANSWERS[OPERATIONS[op].kind.request] is OPERATIONS[op].answered


@each_operation
def test_its_path_names_its_target_and_nothing_else(op: str) -> None:
    target = OPERATIONS[op].target
    assert re.findall(r"{(\w+)}", OPERATIONS[op].path) == ([] if target is None else [target.name])


@pytest.mark.parametrize("op", [op for op, operation in OPERATIONS.items() if operation.is_hot])
def test_a_hot_operation_is_of_a_wallet_or_of_a_hold_or_of_neither(op: str) -> None:
    # As the direct lane tells paths apart.
    assert re.fullmatch(r"(/wallets/{wallet_id}|/holds/{hold_id})?/[a-z]+", OPERATIONS[op].path)
