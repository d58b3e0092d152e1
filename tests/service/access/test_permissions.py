"""What callers may do and see, where a table or a type says so."""

import inspect
from typing import get_args
from uuid import uuid4

import pytest

from wallet.ledger.requests import Grant, Post, Refund, Settle, Single
from wallet.service.access.callers import BINDABLE, DEVELOPER, Caller, Scope
from wallet.service.access.own_reads import OwnReads
from wallet.service.access.permissions import Permissions
from wallet.service.access.scopes import _BY_KIND, MOVES, scopes_needed, scopes_of
from wallet.service.reads.lists import Reads
from wallet.service.writes.commands import Commands

TOP_UP = Commands().wallet_movement(
    "topup", wallet_id=uuid4(), asset_code="GOLD", amount=5, reference_id="r", metadata=None
)


class Unasked:
    """Whoever asks this fails."""

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"{name} was asked")


def test_every_kind_of_request_that_callers_send_says_what_it_needs() -> None:
    only_the_services_own = {Grant, Settle}
    assert set(get_args(Single)) == set(_BY_KIND) | {Post, Refund} | only_the_services_own


def test_everything_a_reader_can_ask_is_decided_on_for_bound_callers() -> None:
    """What is not overridden would be answered to them as to anybody."""
    asked = {name for name, each in inspect.getmembers(Reads, inspect.isfunction) if not name.startswith("_")}
    assert asked <= vars(OwnReads).keys()


async def test_who_may_issue_is_let_in_without_a_question() -> None:
    permissions = Permissions(Unasked())  # type: ignore[arg-type]
    for caller in (DEVELOPER, Caller("shop", frozenset({Scope.SPEND, Scope.ISSUE}))):
        assert permissions.admits_at_once(caller, TOP_UP)
        assert await permissions.admit(caller, TOP_UP) is TOP_UP


async def test_nobody_is_let_through_unlooked_at_without_all_scopes_of_movements() -> None:
    permissions = Permissions(Unasked())  # type: ignore[arg-type]
    assert permissions.admits_whatever(Caller("all", MOVES))
    assert not permissions.admits_whatever(Caller("bound", MOVES, user_id=uuid4()))
    for scope in MOVES:
        assert not permissions.admits_whatever(Caller("less", MOVES - {scope}))


@pytest.mark.parametrize("binding", [{"user_id": uuid4()}, {"wallet_ids": frozenset({uuid4()})}])
def test_a_bound_caller_has_no_more_than_a_bound_key_can_whatever_it_says(binding: dict[str, object]) -> None:
    caller = Caller("test", frozenset(Scope), **binding)  # type: ignore[arg-type]
    assert scopes_of(caller) == BINDABLE
    assert not scopes_needed(TOP_UP) <= scopes_of(caller)
