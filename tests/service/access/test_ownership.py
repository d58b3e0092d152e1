"""The owners of many wallets are asked for at once, and a missing wallet is never remembered."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from wallet.errors import StorageUnavailable
from wallet.ledger.model import HoldId, WalletId, WalletKind
from wallet.service.access.callers import Caller, Scope
from wallet.service.access.ownership import Ownership
from wallet.storage.reads.owners import Owner

USER = uuid4()


class Source:
    """Owners in memory. `asked`: each query's wallets, in order; it waits for `gate`."""

    def __init__(self, owners: Mapping[WalletId, Owner]) -> None:
        self.known = dict(owners)
        self.asked: list[set[WalletId]] = []
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_away = False

    async def owners(self, wallet_ids: Collection[WalletId]) -> Mapping[WalletId, Owner]:
        self.asked.append(set(wallet_ids))
        self.begun.set()
        found = {each: self.known[each] for each in wallet_ids if each in self.known}
        await self.gate.wait()
        if self.is_away:
            raise StorageUnavailable("away")
        return found

    async def homes(self, hold_ids: Collection[HoldId]) -> Mapping[HoldId, WalletId]:
        return {}

    async def wallets_owned(self, user_id: UUID) -> Sequence[WalletId]:
        return sorted(each for each, owner in self.known.items() if owner.user_id == user_id)

    async def references_used(self, origin: str, reference_ids: Collection[str]) -> frozenset[str]:
        return frozenset()


def owned(count: int, user_id: UUID | None = USER, kind: WalletKind = WalletKind.USER) -> dict[WalletId, Owner]:
    return {uuid4(): Owner(kind, user_id) for _ in range(count)}


def bound(**binding: object) -> Caller:
    return Caller("test", frozenset({Scope.READ}), origin="test", **binding)  # type: ignore[arg-type]


async def test_those_who_ask_together_are_answered_by_one_query() -> None:
    source = Source(owned(3))
    ownership = Ownership(source)
    answers = await asyncio.gather(*(ownership.owners([each]) for each in source.known))
    assert [set(each) for each in answers] == [{each} for each in source.known]
    assert source.asked == [set(source.known)]


async def test_what_is_known_is_not_asked_for_again() -> None:
    source = Source(owned(2))
    ownership = Ownership(source)
    first, second = source.known
    await ownership.owners([first])
    assert await ownership.owners([first, second]) == source.known
    await ownership.owners([first, second])
    assert source.asked == [{first}, {second}]


async def test_who_comes_while_a_query_runs_is_in_the_next_one() -> None:
    """The one under way may have read the past: the wallet may have been made since."""
    source = Source({})
    ownership = Ownership(source)
    source.gate.clear()
    early = asyncio.create_task(ownership.owners([wallet := uuid4()]))
    await source.begun.wait()
    source.known[wallet] = Owner(WalletKind.USER, USER)
    late = [asyncio.create_task(ownership.owners([wallet])) for _ in range(2)]
    await asyncio.sleep(0)
    source.gate.set()
    assert await early == {}
    assert await asyncio.gather(*late) == [source.known] * 2
    assert source.asked == [{wallet}, {wallet}]


async def test_what_is_not_there_is_asked_for_each_time() -> None:
    source = Source({})
    ownership = Ownership(source)
    wallet = uuid4()
    assert await ownership.owners([wallet]) == {}
    source.known[wallet] = Owner(WalletKind.USER, USER)
    assert await ownership.owners([wallet]) == source.known


async def test_so_many_are_kept_and_no_more() -> None:
    source = Source(owned(3))
    ownership = Ownership(source, kept_max=2)
    first, second, third = source.known
    assert await ownership.owners(source.known) == source.known
    source.asked.clear()
    await ownership.owners([first])
    await ownership.owners([third])
    assert source.asked in ([{first}], [{first}, {third}], [{third}], [])
    assert len(await ownership.owners([first, second, third])) == 3


async def test_where_the_database_is_away_everybody_is_told() -> None:
    source = Source(owned(1))
    source.is_away = True
    ownership = Ownership(source)
    asked = [ownership.owners(source.known) for _ in range(2)]
    errors = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in errors] == [StorageUnavailable] * 2
    assert errors[0] is not errors[1]
    source.is_away = False
    assert await ownership.owners(source.known) == source.known


@pytest.mark.parametrize("by", ["user_id", "wallet_ids"])
async def test_ones_own_are_wallets_of_users_that_a_key_is_bound_to(by: str) -> None:
    mine, others, nobodys = owned(2), owned(2, uuid4()), owned(2, None)
    system = owned(1, None, WalletKind.TREASURY)
    source = Source({**mine, **others, **nobodys, **system})
    binding: object = USER if by == "user_id" else frozenset([*mine, *system, uuid4()])
    caller = bound(**{by: binding})
    ownership = Ownership(source)
    assert await ownership.own(caller, [*source.known, uuid4()]) == frozenset(mine)
    assert await ownership.all_own(caller) == sorted(mine)
