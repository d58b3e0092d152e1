"""Reads answer as if all that is due had been posted: a read settles its wallet first, if something is due there."""

from collections.abc import Awaitable, Callable
from typing import Final

from wallet.errors import OutcomeUnknown, StorageUnavailable
from wallet.ledger.model import WalletId
from wallet.ledger.outcomes import Outcome, Settled
from wallet.ledger.requests import Request
from wallet.service.due.keeper import settle_request
from wallet.storage.batch.due_steps import MoreIsDue
from wallet.storage.reads.wallet_at import HistoryStore

PORTIONS_MAX: Final = 40
"""How many portions of what is due one read posts before it asks its caller to come again."""


class Settler:
    """Raises Overloaded and StorageUnavailable, when what is due cannot be posted in time: then nothing is true yet.

    MoreIsDue, a StorageUnavailable, says that some of it was posted, and who comes again finds less.
    """

    def __init__(
        self,
        store: HistoryStore,
        submit: Callable[[Request], Awaitable[Outcome]],
        *,
        portions_max: int = PORTIONS_MAX,
    ) -> None:
        self._store = store
        self._submit = submit
        self._portions_max = portions_max

    async def settle(self, wallet_id: WalletId) -> None:
        """Have everything posted that is due at the wallet by now."""
        try:
            for _ in range(self._portions_max):
                if await self._submit(settle_request(wallet_id)) != Settled(is_all=False):
                    return
        except OutcomeUnknown as error:
            # A reader asked for no movement, so it need not find out whether the due steps were posted.
            raise StorageUnavailable("what is due at this wallet could not be posted in time") from error
        raise MoreIsDue("more is due at this wallet than could be posted by now; each try posts some of it")

    async def settle_if_due(self, wallet_id: WalletId) -> None:
        """The same, if anything is. Nothing happens where there is no such wallet."""
        if await self._store.is_due(wallet_id):
            await self.settle(wallet_id)
