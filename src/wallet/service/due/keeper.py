"""Posts due steps when they fall due: expiries of holds and lots, and the periods of programmes.

A late keeper changes nothing that callers see of holds and lots, because each read of a wallet settles it first. So a
due step may be posted late, and twice: its reference decides. It must be posted at some time.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

from wallet.errors import Overloaded, WalletError
from wallet.ledger.fingerprint import fingerprint
from wallet.ledger.instants import rfc3339
from wallet.ledger.model import ORIGIN_SERVICE, WalletId
from wallet.ledger.outcomes import Outcome, RefusalCode, Refused, Settled
from wallet.ledger.requests import Grant, Request, Settle
from wallet.storage.batch.due_steps import MoreIsDue
from wallet.storage.connections.database import Database, close
from wallet.storage.connections.shard import Shard
from wallet.storage.rows.ids import IdSource
from wallet.storage.upkeep.due import (
    DueGrant,
    DueWallet,
    find_due_grants,
    find_due_wallets,
    look_ahead,
    stop_attachments,
)

PAGE_ITEMS_MAX: Final = 200
"""Wallets, and then periods, that are posted at once."""
DUE_SECONDS: Final = 1.0
"""How long the keeper sleeps at most, and how long it backs off when nothing goes through."""
REST_SECONDS: Final = 10.0
"""How long a wallet that could not be settled is left out, so that it keeps no other waiting."""
RESTING_MAX: Final = 1_000
"""Wallets left out at once; of more, those are tried again first that have rested longest."""

_GRANT_FIELDS: Final = ("type", "programme_id", "wallet_id", "starts_at")

Submit: TypeAlias = Callable[[Request], Awaitable[Outcome]]
Clock: TypeAlias = Callable[[], float]

_log = logging.getLogger(__name__)
_ids = IdSource()


def settle_request(wallet_id: WalletId) -> Settle:
    """The request that posts everything due at a wallet."""
    id_ = _ids.new_id()
    return Settle(id_, ORIGIN_SERVICE, f"settle:{id_}", wallet_id)


def grant_request(due: DueGrant) -> Grant:
    """Grant one period. Its reference is that of the period: so it is posted once, however often it is requested."""
    starts_at = rfc3339(due.starts_at)
    values = (b"grant", due.programme_id.bytes, due.wallet_id.bytes, starts_at.encode())
    expires_in = due.expires_in_seconds
    return Grant(
        _ids.new_id(),
        ORIGIN_SERVICE,
        f"grant:{due.programme_id}:{due.wallet_id}:{starts_at}",
        fingerprint(_GRANT_FIELDS, values),
        due.programme_id,
        due.wallet_id,
        due.asset_code,
        due.period,
        due.starts_at,
        due.amount,
        due.rollover_max,
        due.category,
        due.priority,
        None if expires_in is None else due.starts_at + timedelta(seconds=expires_in),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedPage:
    """The result of a page: wallets settled, if only by a portion; periods granted (skipped ones included); items that
    failed.
    """

    settled: int = 0
    granted: int = 0
    failed: int = 0

    @property
    def is_progress(self) -> bool:
        return self.settled + self.granted > 0


class DuePoster:
    """Posts what is due, the oldest first, a page at a time. `submit` is Committer.submit."""

    def __init__(self, submit: Submit, *, items_max: int = PAGE_ITEMS_MAX, now: Clock = time.monotonic) -> None:
        self._submit = submit
        self._items_max = items_max
        self._now = now
        self._resting: dict[WalletId, float] = {}
        # The items of the page before. If one is due again, unchanged, posting it has not moved it on.
        self._posted: set[object] = set()

    @property
    def resting(self) -> Collection[WalletId]:
        """Wallets that are left out for the moment, because something there could not be posted."""
        now = self._now()
        self._resting = {wallet: until for wallet, until in self._resting.items() if until > now}
        return self._resting.keys()

    async def post_page(self, shard: Shard) -> PostedPage:
        """Settle the wallets that are longest due, then grant the periods that are. Raises StorageUnavailable."""
        before, self._posted = self._posted, set()
        wallets = await find_due_wallets(shard, without=self.resting, limit=self._items_max)
        settled = await self._submit_all([(each.id, each, settle_request(each.id)) for each in wallets], before)
        grants = await find_due_grants(shard, without=self.resting, limit=self._items_max)
        if over := [each for each in grants if each.is_over]:
            await stop_attachments(shard, over)
        granted = await self._submit_all(
            [(each.wallet_id, each, grant_request(each)) for each in grants if not each.is_over],
            before,
        )
        return PostedPage(
            settled=settled,
            granted=granted + len(over),
            failed=len(wallets) + len(grants) - settled - granted - len(over),
        )

    async def _submit_all(
        self, items: Sequence[tuple[WalletId, DueWallet | DueGrant, Request]], before: Collection[object]
    ) -> int:
        """How many were answered as they should be. The wallets of the others rest."""
        answers = await asyncio.gather(*(self._submit(request) for _, _, request in items), return_exceptions=True)
        count, troubles = 0, []
        for (wallet_id, due, _), answer in zip(items, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, WalletError):
                raise answer
            if isinstance(answer, Overloaded | MoreIsDue):
                continue  # Not this wallet's fault, or less with every try: soon again.
            if answer == Settled(is_all=False):
                count += 1  # The next portion may be due at the same instant.
                continue
            trouble = _trouble(answer) or ("it is due again, unchanged" if due in before else None)
            if trouble is None:
                self._posted.add(due)
                count += 1
            else:
                troubles.append(f"{wallet_id}: {trouble}")
                self._rest(wallet_id)
        if troubles:  # one line, for it may be everybody's trouble
            _log.warning("%d wallets cannot be settled or granted just now, such as %s", len(troubles), troubles[0])
        return count

    def _rest(self, wallet_id: WalletId) -> None:
        self._resting[wallet_id] = self._now() + REST_SECONDS
        while len(self._resting) > RESTING_MAX:
            del self._resting[next(iter(self._resting))]


def _trouble(answer: Outcome | WalletError) -> str | None:
    """The fault of an answer, None if it has none."""
    if isinstance(answer, WalletError):
        return str(answer)
    # Not found: somebody else has granted it, or the wallet was detached.
    if isinstance(answer, Refused) and answer.code is not RefusalCode.PROGRAMME_NOT_FOUND:
        return f"{answer.code.value}: {answer.detail}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueReport:
    """For metrics. lag_seconds: how long the oldest of what is due has been due; the rest is of this round."""

    lag_seconds: float
    posted: PostedPage


class DueKeeper:
    """Posts what is due in the background, on a connection of its own, while `run_round` is called. For one caller."""

    def __init__(
        self,
        database: Database,
        submit: Submit,
        *,
        observe: Callable[[DueReport], None],
        items_max: int = PAGE_ITEMS_MAX,
        now: Clock = time.monotonic,
    ) -> None:
        self._database = database
        self._observe = observe
        self._steps = DuePoster(submit, items_max=items_max, now=now)
        self._shard: Shard | None = None
        self._is_trouble_known = False

    async def run_round(self) -> float:
        """Post a page of what is due, and answer the seconds until the next round. Never raises an ordinary error."""
        try:
            wait = await self._post()
            self._is_trouble_known = False
        except Exception as error:
            # All of them: the money does not depend on this, and nobody else would notice.
            if not self._is_trouble_known:
                _log.warning("what is due waits: %s", error, exc_info=None if isinstance(error, WalletError) else error)
                self._is_trouble_known = True
            await self._give_up()
            wait = DUE_SECONDS
        return wait

    async def close(self) -> None:
        """Give up the connection, and report no lag any more: it is the leader's to tell."""
        self._observe(DueReport(lag_seconds=0.0, posted=PostedPage()))
        await self._give_up()

    async def _give_up(self) -> None:
        shard, self._shard = self._shard, None
        await close(shard and shard.connection)

    async def _post(self) -> float:
        if self._shard is None or self._shard.connection.is_closed():
            connection = await self._database.reconnect("due keeper", finds_by_key=True)
            self._shard = Shard(connection, self._database.shard)
        outlook = await look_ahead(self._shard)
        posted, lag_seconds = PostedPage(), 0.0
        if outlook.oldest_at is not None and outlook.is_anything_due:
            lag_seconds = (outlook.now - outlook.oldest_at).total_seconds()
            posted = await self._steps.post_page(self._shard)
        self._observe(DueReport(lag_seconds=lag_seconds, posted=posted))
        if posted.is_progress:
            return 0.0
        if posted.failed or outlook.next_at is None:
            return DUE_SECONDS
        return min(DUE_SECONDS, (outlook.next_at - outlook.now).total_seconds())
