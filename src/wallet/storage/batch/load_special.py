"""Loads the state of special wallets and requests beyond rows of wallets: standings, holds, lots, originals and more.

The number of statements is constant, and each is sent only if something needs it. All rows are read after the wallets
were locked. No wallet's lock protects refund states and attachments: these are locked here, after the wallets and in
one order.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from wallet.errors import GroupTooLarge
from wallet.ledger.batch import Context
from wallet.ledger.footprint import singles
from wallet.ledger.instants import DAY, month_after
from wallet.ledger.kinds import footprint_of
from wallet.ledger.model import (
    ORDINARY,
    Asset,
    AssetId,
    Attachment,
    Hold,
    HoldId,
    HoldStatus,
    Lot,
    LotCategory,
    LotId,
    OnRefundToExpired,
    Original,
    Policy,
    Posted,
    RedemptionKey,
    ReferenceKey,
    Slice,
    Standing,
    TransactionId,
    UserId,
    WalletId,
    WalletState,
)
from wallet.ledger.requests import ORIGIN_WALLET, ChangeWallet, Group, Refund, Request, Settle, Single
from wallet.storage.batch.due_steps import NOTHING_DUE, DueSteps, ManyDue, find_due_steps
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.claims import claim_of
from wallet.storage.rows.posted import AT_ONCE_ROWS_MAX, load_posted

_SQL = load_statements("batch/load_special.sql")
_CATEGORY_BY_NAME: Final = {category.value: category for category in LotCategory}
_STATUS_BY_NAME: Final = {status.value: status for status in HoldStatus}
_new: Final[Any] = tuple.__new__
_MOMENT: Final = timedelta(microseconds=1)
LOTS_OF_SEVERAL_MAX: Final = 10_000
LOTS_OF_GROUP_MAX: Final = 100_000
"""The lots that all wallets of a group may have. A batch of several requests may have fewer, because it can be split.
"""

TARGETED_MAX: Final = 10_001
"""More holds than one batch can close, so that a hold that the batch does not close is always among them."""


async def load_special(
    shard: Shard,
    batch: Sequence[Request],
    context: Context,
    special: Sequence[WalletId],
    decided_at: datetime,
    due_steps_max: int,
) -> Context:
    """The context with everything that its wallets and the batch need. `special`: wallets that have a standing.

    Raises ManyDue if more than due_steps_max steps are due, except for one Settle alone, which gets a portion.
    """
    loader = _Loader(shard, context.assets, decided_at)
    asked = footprint_of(batch, context.assets)
    requests = list(singles(batch))
    states = dict(context.wallets)
    await loader.load_standings(states, special, _given_limits(requests))
    originals = await loader.load_originals(asked.originals, _to_be_refunded(batch))
    due = [
        wallet_id
        for wallet_id in special
        if (at := states[wallet_id].standing.next_due_at) is not None and at <= decided_at
    ]
    steps = await loader.load_due_steps(batch, due, due_steps_max)
    holds = await loader.load_holds([*asked.holds, *steps.holds], asked.ending)
    with_lots = [wallet_id for wallet_id in special if states[wallet_id].standing.lot_balance]
    if steps.until is None:
        lots = await loader.load_lots(with_lots, (), originals, _lots_max(batch))
    else:
        reserved = [lot_id for hold in holds.values() for lot_id, _ in hold.slices if lot_id is not None]
        # A hold may carry lots to its target at its expiry, and these join live lots there.
        carries = any(hold.carries_lots and hold.capture_at_expiry for hold in holds.values())
        lots = await loader.load_lots(with_lots if carries else (), [*steps.lots, *reserved], originals, None)
    attached_to = {wallet_id for _, wallet_id in asked.attachments} | set(asked.merging)
    # The holds that this batch closes are among the loaded ones. Beyond the bound their number makes no difference.
    counts = await loader.count_holds(
        states, [*asked.reserving, *asked.merging], context.bounds.holds_max + len(holds) + 1
    )
    users, redeemed = await loader.load_redeemers(asked.redeeming)
    # An original may be posted by this very batch, and is then not among the stored ones.
    are_lots_used = lots or asked.originals or attached_to or any(each.options.lot is not None for each in requests)
    return context._replace(
        wallets=states,
        known={**context.known, **await loader.load_known_events(requests)},
        holds=holds,
        lots=lots,
        originals=originals,
        policies=await loader.load_policies(states) if are_lots_used else {},
        next_due=await loader.load_next_due(due) if steps.until is None else {},
        targeted=await loader.load_targeted(asked.ending),
        holds_placed={wallet_id: placed for wallet_id, placed, _ in counts},
        holds_aimed={wallet_id: aimed for wallet_id, _, aimed in counts},
        attachments=await loader.load_attachments(attached_to),
        users=users,
        redeemed=redeemed,
        due_until=steps.until,
    )


def _given_limits(requests: Iterable[Single]) -> set[WalletId]:
    """The wallets that the batch itself gives a spending limit: later requests must be judged by it."""
    return {
        request.wallet_id
        for request in requests
        if type(request) is ChangeWallet and any(name in ("limit_day", "limit_month") for name, _ in request.changes)
    }


def _to_be_refunded(batch: Iterable[Request]) -> set[TransactionId]:
    """The originals of refunds that are no dry runs: a dry run leaves nothing, not even a mutex."""
    return {
        request.original_id
        for outer in batch
        if not outer.options.dry_run
        for request in (outer.items if type(outer) is Group else (outer,))
        if type(request) is Refund and not request.options.dry_run
    }


class _Loader:
    """One method for each statement, or for the few that belong together. No method sends a statement for nothing."""

    def __init__(self, shard: Shard, assets: Mapping[str, Asset], decided_at: datetime) -> None:
        self._shard = shard
        self._assets = assets
        self._decided_at = decided_at

    async def _fetch(self, name: str, *arguments: Any) -> Sequence[Any]:
        rows: Sequence[Any] = await self._shard.fetch(_SQL[name], *arguments)
        return rows

    async def load_standings(
        self, states: dict[WalletId, WalletState], special: Sequence[WalletId], limited: set[WalletId]
    ) -> None:
        """Complete the states of special wallets, and of those that will be limited."""
        standings = dict.fromkeys(limited & {each.id for each in states.values() if each.locked}, ORDINARY)
        by_day, by_month = set(standings), set(standings)
        if special:
            for id_, *columns in await self._fetch("load_standings", special):
                standings[id_] = standing = Standing(*columns)
                if standing.limit_day is not None:
                    by_day.add(id_)
                if standing.limit_month is not None:
                    by_month.add(id_)
        if by_day or by_month:
            await self._load_spent(states, standings, list(by_day), list(by_month))
        for wallet_id, standing in standings.items():
            # An ordinary standing is recognised by identity.
            states[wallet_id] = states[wallet_id]._replace(standing=ORDINARY if standing == ORDINARY else standing)

    async def _load_spent(
        self,
        states: Mapping[WalletId, WalletState],
        standings: dict[WalletId, Standing],
        by_day: Sequence[WalletId],
        by_month: Sequence[WalletId],
    ) -> None:
        resets_at = month_after(self._decided_at)
        month_at = (resets_at - DAY).replace(day=1)
        # The window of a day does not include its beginning, that of a month does.
        starts = [self._decided_at - DAY] * len(by_day) + [month_at - _MOMENT] * len(by_month)
        wallets = [*by_day, *by_month]
        rows = await self._fetch("load_spent", wallets, [states[each].version for each in wallets], starts)
        for wallet_id, (amount, first_at) in zip(by_day, rows[: len(by_day)], strict=True):
            standings[wallet_id] = standings[wallet_id]._replace(
                spent_day=int(amount), day_resets_at=None if first_at is None else first_at + DAY
            )
        for wallet_id, (amount, first_at) in zip(by_month, rows[len(by_day) :], strict=True):
            standings[wallet_id] = standings[wallet_id]._replace(
                spent_month=int(amount), month_resets_at=None if first_at is None else resets_at
            )

    async def load_originals(
        self, ids: Sequence[TransactionId], refunded: set[TransactionId]
    ) -> Mapping[TransactionId, Original]:
        """The originals. The refund states of those to be refunded are locked before."""
        if not ids:
            return {}
        wanted = set(ids) - refunded
        if refunded:
            await self._shard.execute(_SQL["make_refund_states"], list(refunded))
            wanted |= {row["original_id"] for row in await self._fetch("lock_refund_states", list(refunded))}
        rows = await self._fetch("load_originals", list(wanted))
        posted = await load_posted(self._shard, rows)
        return {
            each.id: Original(each, row["refunded"], row["refunds"]) for each, row in zip(posted, rows, strict=True)
        }

    async def load_due_steps(self, batch: Sequence[Request], due: Sequence[WalletId], steps_max: int) -> DueSteps:
        """The due steps that the batch has to post first. Raises ManyDue."""
        if not due:
            return NOTHING_DUE
        alone = batch[0] if len(batch) == 1 else None
        if isinstance(alone, Settle):
            # Other wallets may be locked because they were linked with this one a moment ago.
            due = [each for each in due if each == alone.wallet_id]
        steps = await find_due_steps(partial(self._fetch, "find_due_steps"), due, self._decided_at, steps_max)
        if steps.until is not None and not isinstance(alone, Settle):
            raise ManyDue(due)
        return steps

    async def load_holds(self, ids: Sequence[HoldId], ending: Sequence[WalletId]) -> Mapping[HoldId, Hold]:
        if not (ids or ending):
            return {}
        rows = await self._fetch("load_holds", ids, ending)
        return {row["id"]: _hold(row) for row in rows}

    async def load_redeemers(
        self, redeeming: Sequence[tuple[HoldId, WalletId]]
    ) -> tuple[Mapping[WalletId, UserId], Mapping[RedemptionKey, TransactionId]]:
        """The users of wallets that claims are redeemed into, and which of them have redeemed which claim before."""
        if not redeeming:
            return {}, {}
        rows = await self._fetch("load_redeemers", *map(list, zip(*redeeming, strict=True)))
        users = {wallet_id: user_id for _, wallet_id, user_id, _ in rows}
        return users, {(claim_id, user_id): earlier for claim_id, _, user_id, earlier in rows if earlier is not None}

    async def load_targeted(self, ending: Sequence[WalletId]) -> Mapping[WalletId, frozenset[HoldId]]:
        if not ending:
            return {}
        rows = await self._fetch("load_targeted", ending, TARGETED_MAX)
        return {row["wallet_id"]: frozenset(row["holds"]) for row in rows}

    async def count_holds(
        self, states: Mapping[WalletId, WalletState], wallets: Sequence[WalletId], holds_max: int
    ) -> Sequence[Any]:
        """The numbers of open holds on wallets that may have any, and of those captured into them, up to a bound."""
        asked = {id_ for id_ in wallets if (state := states.get(id_)) and (state.held or state.standing.next_due_at)}
        return await self._fetch("count_holds", list(asked), holds_max) if asked else ()

    async def load_lots(
        self,
        wallets: Sequence[WalletId],
        ids: Sequence[LotId],
        originals: Mapping[TransactionId, Original],
        lots_max: int | None,
    ) -> Mapping[LotId, Lot]:
        """The lots. Raises GroupTooLarge if there are more than `lots_max`."""
        if not (wallets or ids or originals):
            return {}
        drawn = {
            each.lot_id
            for original in originals.values()
            if original.posted.details is not None
            for each in original.posted.details.drawn
            if each.lot_id is not None
        }
        limit = None if lots_max is None else lots_max + 1
        rows = await self._fetch("load_lots", wallets, [*ids, *drawn], list(originals), limit)
        if lots_max is not None and len(rows) > lots_max:
            raise GroupTooLarge(f"Its wallets have more than {lots_max} lots")
        return _lots(rows) if len(rows) <= AT_ONCE_ROWS_MAX else await asyncio.to_thread(_lots, rows)

    async def load_next_due(self, due: Sequence[WalletId]) -> Mapping[WalletId, datetime | None]:
        if not due:
            return {}
        rows = await self._fetch("load_next_due", due, self._decided_at)
        return {row["wallet_id"]: row["next_due_at"] for row in rows}

    async def load_policies(self, states: Mapping[WalletId, WalletState]) -> Mapping[AssetId, Policy]:
        asset_ids = {each.asset_id for each in states.values()} | {each.id for each in self._assets.values()}
        rows = await self._shard.connection.fetch(_SQL["load_policies"], list(asset_ids))
        return {
            id_: Policy(draw_order == "main_first", OnRefundToExpired(on_refund), grace_seconds)
            for id_, draw_order, on_refund, grace_seconds in rows
        }

    async def load_attachments(self, wallets: set[WalletId]) -> Mapping[tuple[Any, WalletId], Attachment]:
        if not wallets:
            return {}
        rows = await self._fetch("load_attachments", list(wallets))
        return {
            (programme_id, wallet_id): Attachment(programme_id, wallet_id, n) for programme_id, wallet_id, n in rows
        }

    async def load_known_events(self, requests: Iterable[Single]) -> Mapping[ReferenceKey, Posted]:
        """The changes of wallets that this very try has made already."""
        changes = {request.id: request for request in requests if type(request) is ChangeWallet}
        if not changes:
            return {}
        rows = await self._fetch("load_known_events", list(changes))
        return {
            (ORIGIN_WALLET, reference): Posted(id_, ORIGIN_WALLET, reference, b"", kind, None, at, at, ())
            for id_, kind, at in rows
            if (reference := changes[id_].reference_id)
        }


def _lots_max(batch: Sequence[Request]) -> int | None:
    """How many lots may be loaded for a batch. With more, a batch is halved, and a group is refused."""
    if len(batch) > 1:
        return LOTS_OF_SEVERAL_MAX
    return LOTS_OF_GROUP_MAX if type(batch[0]) is Group else None


def _lots(rows: Sequence[Any]) -> Mapping[LotId, Lot]:
    # The same as Lot(...), in half the time: a wallet may have a thousand lots.
    return {row[0]: _new(Lot, (*row[:3], _CATEGORY_BY_NAME[row[3]], *row[4:])) for row in rows}


def _hold(row: Any) -> Hold:
    return Hold(
        row["id"],
        row["wallet_id"],
        row["asset_id"],
        row["target_wallet_id"],
        row["amount"],
        row["captured"],
        row["released"],
        row["expires_at"],
        row["capture_at_expiry"],
        _STATUS_BY_NAME[row["status"]],
        row["created_at"],
        tuple(map(Slice, row["slice_lots"], row["slice_amounts"])),
        row["carries_lots"],
        claim_of(row),
    )
