"""The permissions of callers that a table or a type states."""

import inspect
from typing import get_args
from uuid import uuid4

import pytest

from wallet.errors import InvariantViolated
from wallet.ledger.requests import Grant, Settle, Single
from wallet.service.access.callers import BINDABLE, DEVELOPER, Caller, Scope
from wallet.service.access.kinds import scopes_needed
from wallet.service.access.own_reads import OwnReads
from wallet.service.access.permissions import Permissions
from wallet.service.access.scopes import MOVES, scopes_of
from wallet.service.due.keeper import settle_request
from wallet.service.reads.lists import Reads
from wallet.service.writes.claim_commands import ClaimCommands
from wallet.service.writes.commands import Commands

_COMMANDS, _CLAIMS, _WORDS = Commands(), ClaimCommands(), {"reference_id": "r", "metadata": None}
TOP_UP = _COMMANDS.wallet_movement("topup", wallet_id=uuid4(), asset_code="GOLD", amount=5, **_WORDS)
OF_EACH_KIND = (
    TOP_UP,
    _COMMANDS.hold(wallet_id=uuid4(), asset_code="GOLD", amount=5, **_WORDS),
    _COMMANDS.capture(hold_id=uuid4(), **_WORDS),
    _COMMANDS.void(hold_id=uuid4(), **_WORDS),
    _COMMANDS.increase(hold_id=uuid4(), amount=5, **_WORDS),
    _COMMANDS.extend(hold_id=uuid4(), expires_in_seconds=5, **_WORDS),
    _CLAIMS.claim_place(wallet_id=uuid4(), asset_code="GOLD", amount=5, code_hash=bytes(32), **_WORDS),
    _CLAIMS.claim_redeem(claim_id=uuid4(), wallet_id=uuid4(), **_WORDS),
    _CLAIMS.claim_cancel(claim_id=uuid4(), **_WORDS),
    _COMMANDS.refund(transaction_id=uuid4(), **_WORDS),
    _COMMANDS.merge(source=uuid4(), target=uuid4(), **_WORDS),
    _COMMANDS.change_wallet("close", wallet_id=uuid4()),
)


class Unasked:
    """A source of which every question fails."""

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"{name} was asked")


def test_every_kind_of_request_that_callers_send_says_what_it_needs() -> None:
    only_the_services_own = {Grant, Settle}
    assert set(get_args(Single)) == {type(request) for request in OF_EACH_KIND} | only_the_services_own
    assert all(map(scopes_needed, OF_EACH_KIND))


def test_nothing_that_only_the_service_sends_can_be_asked_for() -> None:
    with pytest.raises(InvariantViolated, match="settle"):
        scopes_needed(settle_request(uuid4()))


def test_everything_a_reader_can_ask_is_decided_on_for_bound_callers() -> None:
    """A method that is not overridden would answer them as it answers everybody."""
    asked = {name for name, each in inspect.getmembers(Reads, inspect.isfunction) if not name.startswith("_")}
    assert asked <= vars(OwnReads).keys()


async def test_who_may_issue_is_let_in_without_a_question() -> None:
    permissions = Permissions(Unasked())  # type: ignore[arg-type]
    for caller in (DEVELOPER, Caller("shop", frozenset({Scope.SPEND, Scope.ISSUE}))):
        assert permissions.admits_at_once(caller, TOP_UP)
        assert await permissions.admit(caller, TOP_UP) is TOP_UP


async def test_nobody_is_let_through_unlooked_at_without_all_scopes_of_movements() -> None:
    permissions = Permissions(Unasked())  # type: ignore[arg-type]
    assert permissions.admits_everything(Caller("all", MOVES))
    assert not permissions.admits_everything(Caller("bound", MOVES, user_id=uuid4()))
    for scope in MOVES:
        assert not permissions.admits_everything(Caller("less", MOVES - {scope}))


@pytest.mark.parametrize("binding", [{"user_id": uuid4()}, {"wallet_ids": frozenset({uuid4()})}])
def test_a_bound_caller_has_no_more_than_a_bound_key_can_whatever_it_says(binding: dict[str, object]) -> None:
    caller = Caller("test", frozenset(Scope), **binding)  # type: ignore[arg-type]
    assert scopes_of(caller) == BINDABLE
    assert not scopes_needed(TOP_UP) <= scopes_of(caller)
