"""The use cases of programmes: credit that comes again every period, to every attached wallet."""

from collections.abc import Sequence

from wallet.errors import BadData, OutcomeUnknown, Overloaded, StorageUnavailable
from wallet.ledger.model import ProgrammeId, WalletId
from wallet.ledger.outcomes import Refused
from wallet.service.due.keeper import Submit, grant_request
from wallet.service.reads.pages import FIRST_PAGE, Page, PageRequest, Pages
from wallet.storage.registry.programmes import Attached, Programme, ProgrammeStore, Terms
from wallet.storage.registry.resources import Created


class Programmes:
    """Methods raise NotFound, Malformed (limit, cursor), StorageUnavailable and OutcomeUnknown. `submit` is
    Committer.submit.
    """

    def __init__(self, programmes: ProgrammeStore, pages: Pages, submit: Submit) -> None:
        self._programmes = programmes
        self._pages = pages
        self._submit = submit

    async def create(self, terms: Terms, *, programme_id: ProgrammeId | None = None) -> Created[Programme]:
        """Create a programme. Raises AlreadyExists, too, if the id belongs to another programme."""
        return await self._programmes.create(terms, programme_id=programme_id)

    async def programme(self, programme_id: ProgrammeId) -> Programme:
        return await self._programmes.programme(programme_id)

    async def programmes(self, page: PageRequest = FIRST_PAGE) -> Page[Programme]:
        """All programmes, by id."""

        async def rows(after: ProgrammeId | None, limit: int) -> Sequence[Programme]:
            return await self._programmes.programmes(after=after, limit=limit)

        return await self._pages.by_id("programmes", {}, page, rows)

    async def end(self, programme_id: ProgrammeId) -> Programme:
        """End a programme: from now on no period starts, at any wallet. Granted credit stays."""
        return await self._programmes.end(programme_id)

    async def attach(self, programme_id: ProgrammeId, wallet_id: WalletId) -> Created[Attached] | Refused:
        """Attach a wallet. Its first period starts now, and is granted when this returns.

        Raises OutcomeUnknown if the wallet is attached but the period could not be granted: the caller may ask again,
        or the keeper grants it later.
        """
        made = await self._programmes.attach(programme_id, wallet_id)
        if isinstance(made, Refused):
            return made
        try:
            await self._grant_first(programme_id, wallet_id)
            # Read again, because the first period has been granted meanwhile.
            return Created(resource=await self.attached(programme_id, wallet_id), existed=made.existed)
        except (Overloaded, StorageUnavailable, BadData) as error:
            raise OutcomeUnknown("the wallet is attached, and its first period may not have been granted") from error

    async def detach(self, programme_id: ProgrammeId, wallet_id: WalletId) -> Attached:
        """Detach a wallet: it gets no further period. Granted credit stays."""
        return await self._programmes.detach(programme_id, wallet_id)

    async def attached(self, programme_id: ProgrammeId, wallet_id: WalletId) -> Attached:
        return await self._programmes.attached(programme_id, wallet_id)

    async def attached_wallets(
        self, programme_id: ProgrammeId, page: PageRequest = FIRST_PAGE, *, among: Sequence[WalletId] | None = None
    ) -> Page[Attached]:
        """The wallets of a programme, detached ones included, by wallet id. `among`: only these wallets."""

        async def rows(after: WalletId | None, limit: int) -> Sequence[Attached]:
            return await self._programmes.attached_wallets(programme_id, after=after, limit=limit, among=among)

        filters = {"programme_id": str(programme_id)}
        found = await self._pages.by_id("attached_wallets", filters, page, rows, lambda row: row.wallet_id)
        if not found.data:
            await self.programme(programme_id)
        return found

    async def _grant_first(self, programme_id: ProgrammeId, wallet_id: WalletId) -> None:
        due = await self._programmes.first_grant(programme_id, wallet_id)
        if due is not None and not due.is_over:
            # A refusal means that another request has granted the period, or detached the wallet.
            await self._submit(grant_request(due))
