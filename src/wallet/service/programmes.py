"""Programmes: credit that comes again every period, to every wallet attached. The use cases that edges call."""

from collections.abc import Sequence
from typing import Any

from wallet.errors import BadData, OutcomeUnknown, Overloaded, StorageUnavailable
from wallet.ledger.model import ProgrammeId, WalletId
from wallet.ledger.outcomes import Refused
from wallet.service.due.keeper import Submit, grant_request
from wallet.service.reads.cursors import Cursors
from wallet.service.reads.lists import FIRST_PAGE, Page, PageRequest, Reads
from wallet.storage.reads.resources import ReadStore
from wallet.storage.registry.programmes import Attached, Programme, ProgrammeStore, Terms
from wallet.storage.registry.resources import Created
from wallet.storage.rows.ids import parse_id


class Programmes(Reads):
    """Raises NotFound, Malformed (limit, cursor), StorageUnavailable, OutcomeUnknown. `submit` is Committer.submit."""

    def __init__(self, store: ReadStore, programmes: ProgrammeStore, cursors: Cursors, submit: Submit) -> None:
        super().__init__(store, cursors)
        self._programmes = programmes
        self._submit = submit

    async def create(self, terms: Terms, *, programme_id: ProgrammeId | None = None) -> Created[Programme]:
        """Raises AlreadyExists, too, if the id is another programme's."""
        return await self._programmes.create(terms, programme_id=programme_id)

    async def programme(self, programme_id: ProgrammeId) -> Programme:
        return await self._programmes.programme(programme_id)

    async def programmes(self, page: PageRequest = FIRST_PAGE) -> Page[Programme]:
        """By id."""

        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[Programme]:
            return await self._programmes.programmes(after=parse_id(key[0]) if key else None, limit=limit)

        return await self._page("programmes", {}, page, fetch, lambda last: (str(last.id),))

    async def end(self, programme_id: ProgrammeId) -> Programme:
        """No period starts from now on, at any wallet. What was granted stays."""
        return await self._programmes.end(programme_id)

    async def attach(self, programme_id: ProgrammeId, wallet_id: WalletId) -> Created[Attached] | Refused:
        """Attach a wallet. Its first period starts now, and is granted when this returns.

        Raises OutcomeUnknown where the wallet is attached and that could not be done: ask again, or leave it to the
        keeper.
        """
        made = await self._programmes.attach(programme_id, wallet_id)
        if isinstance(made, Refused):
            return made
        try:
            await self._grant_first(programme_id, wallet_id)
            # Again: the first period has been granted meanwhile.
            return Created(resource=await self.attached(programme_id, wallet_id), existed=made.existed)
        except (Overloaded, StorageUnavailable, BadData) as error:
            raise OutcomeUnknown("the wallet is attached, and its first period may not have been granted") from error

    async def detach(self, programme_id: ProgrammeId, wallet_id: WalletId) -> Attached:
        """No further period is granted to this wallet. What was granted stays."""
        return await self._programmes.detach(programme_id, wallet_id)

    async def attached(self, programme_id: ProgrammeId, wallet_id: WalletId) -> Attached:
        return await self._programmes.attached(programme_id, wallet_id)

    async def attached_wallets(
        self, programme_id: ProgrammeId, page: PageRequest = FIRST_PAGE, *, among: Sequence[WalletId] | None = None
    ) -> Page[Attached]:
        """By wallet, those that were detached included. `among`: only these wallets."""

        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[Attached]:
            after = parse_id(key[0]) if key else None
            return await self._programmes.attached_wallets(programme_id, after=after, limit=limit, among=among)

        filters = {"programme_id": str(programme_id)}
        found = await self._page("attached_wallets", filters, page, fetch, lambda last: (str(last.wallet_id),))
        if not found.data:
            await self.programme(programme_id)
        return found

    async def _grant_first(self, programme_id: ProgrammeId, wallet_id: WalletId) -> None:
        due = await self._programmes.first_grant(programme_id, wallet_id)
        if due is not None and not due.is_over:
            # Refused: somebody else has granted it, or detached the wallet.
            await self._submit(grant_request(due))
