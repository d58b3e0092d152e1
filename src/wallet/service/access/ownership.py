"""The owners of wallets. The owner of a wallet never changes, so it is asked once and kept."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol
from uuid import UUID

from wallet.errors import StorageUnavailable
from wallet.ledger.model import HoldId, WalletId, WalletKind
from wallet.service.access.callers import Caller
from wallet.storage.reads.owners import Owner

KEPT_MAX: Final = 20_000
"""Wallets whose owners are kept, the first seen going first."""


class OwnerSource(Protocol):
    """The store that knows owners: storage.reads.owners.OwnerStore."""

    async def owners(self, wallet_ids: Collection[WalletId]) -> Mapping[WalletId, Owner]: ...

    async def homes(self, hold_ids: Collection[HoldId]) -> Mapping[HoldId, WalletId]: ...

    async def wallets_owned(self, user_id: UUID) -> Sequence[WalletId]: ...

    async def references_used(self, origin: str, reference_ids: Collection[str]) -> frozenset[str]: ...


class Ownership:
    """The known owners of one event loop. Every method that asks the database raises StorageUnavailable."""

    def __init__(self, source: OwnerSource, *, kept_max: int = KEPT_MAX) -> None:
        self._source = source
        self._kept: OrderedDict[WalletId, Owner] = OrderedDict()
        self._kept_max = kept_max
        self._wanted: set[WalletId] = set()
        self._asking: asyncio.Task[Mapping[WalletId, Owner]] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def owners(self, wallet_ids: Iterable[WalletId]) -> Mapping[WalletId, Owner]:
        """The owners of those wallets that exist. The others are asked for each time, since they may be made."""
        found: dict[WalletId, Owner] = {}
        missing: list[WalletId] = []
        for wallet_id in wallet_ids:
            if (owner := self._kept.get(wallet_id)) is None:
                missing.append(wallet_id)
            else:
                found[wallet_id] = owner
        if missing:
            asked = await self._ask(missing)
            found.update((wallet_id, asked[wallet_id]) for wallet_id in missing if wallet_id in asked)
        return found

    async def own(self, caller: Caller, wallet_ids: Iterable[WalletId]) -> frozenset[WalletId]:
        """Those of these wallets that are a bound caller's own: they exist, are no system wallets, and are in its
        binding. The target of a merge is its own only if it is in the binding itself.
        """
        owners = await self.owners(wallet_ids)
        return frozenset(
            wallet_id
            for wallet_id, owner in owners.items()
            if owner.kind is WalletKind.USER
            and (
                wallet_id in caller.wallet_ids
                if caller.wallet_ids is not None
                else owner.user_id is not None and owner.user_id == caller.user_id
            )
        )

    async def all_own(self, caller: Caller) -> Sequence[WalletId]:
        """All wallets of a bound caller, in order of id."""
        if caller.wallet_ids is not None:
            return sorted(await self.own(caller, caller.wallet_ids))
        return () if caller.user_id is None else await self._source.wallets_owned(caller.user_id)

    async def homes(self, hold_ids: Collection[HoldId]) -> Mapping[HoldId, WalletId]:
        """The present wallets of those of these holds that exist."""
        return await self._source.homes(hold_ids) if hold_ids else {}

    async def references_used(self, origin: str, reference_ids: Collection[str]) -> frozenset[str]:
        """Those of an origin's references that a transaction has used."""
        return await self._source.references_used(origin, reference_ids)

    async def _ask(self, wallet_ids: Iterable[WalletId]) -> Mapping[WalletId, Owner]:
        """The answer to the next query, which includes these wallets. A running query may be too old."""
        self._wanted.update(wallet_ids)
        if self._asking is None:
            # The task begins in the next turn of the loop, so its query includes all requests of this one.
            self._asking = asyncio.get_running_loop().create_task(self._ask_all())
        try:
            return await asyncio.shield(self._asking)
        except StorageUnavailable as error:
            # Each waiting caller gets an error of its own: raising one object many times piles up tracebacks.
            raise StorageUnavailable(str(error)) from None

    async def _ask_all(self) -> Mapping[WalletId, Owner]:
        async with self._one_at_a_time:
            wanted, self._wanted, self._asking = self._wanted, set(), None
            found = await self._source.owners(wanted)
        self._kept.update(found)
        while len(self._kept) > self._kept_max:
            self._kept.popitem(last=False)
        return found
