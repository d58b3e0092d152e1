"""Top-up, bonus, spend, transfer and general transactions."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from wallet.errors import ensure
from wallet.ledger.book import Book
from wallet.ledger.draft import Draft
from wallet.ledger.legs import asset_of, wallet_of
from wallet.ledger.lots import NewLot, Parcel, dealt
from wallet.ledger.model import AssetId, Details, Direction, Posted, Slice, WalletId
from wallet.ledger.movements.carrying import carried
from wallet.ledger.movements.expiry import expire_lots
from wallet.ledger.requests import LotTerms, Post
from wallet.ledger.rules.posts import amounts_of
from wallet.ledger.rules.shared import Side


def move_post(post: Post, book: Book) -> Posted:
    """Debit and credit what the legs say."""
    asset = asset_of(post.asset_code, book.assets)
    states = []
    for leg in post.legs:
        wallet_id = wallet_of(leg, asset)
        ensure(wallet_id is not None, "a leg without a wallet was let through")
        states.append(book.wallets[wallet_id])  # type: ignore[index]  # ensured above
    sides = amounts_of(post, states)
    draws: dict[WalletId, tuple[Slice, ...]] = {
        state.id: book.slices_for(state, amount) for state, direction, amount in sides if direction is Direction.DEBIT
    }
    arriving = _arriving(sides, draws) if post.carries_lots or post.type == "transfer" else None
    draft = Draft(book, post.id, post.type)
    for state, direction, amount in sides:
        if direction is Direction.DEBIT:
            draft.debit(state.id, amount, draws[state.id])
        elif arriving is not None:
            parcels = carried(arriving[state.id], state, book)
            draft.credit(state.id, amount, parcels, repays=not post.carries_lots)
        else:
            draft.credit(state.id, amount, _parcels(post.options.lot, amount, book))
    posted = draft.post(
        origin=post.origin,
        reference_id=post.reference_id,
        fingerprint=post.fingerprint,
        metadata=post.metadata,
        effective_at=post.options.effective_at,
        details=Details(requested_amount=post.legs[0].amount) if post.options.up_to else None,
    )
    expire_lots(book, draft.lapsed, instant=draft.instant)
    return posted


def _arriving(sides: Sequence[Side], draws: Mapping[WalletId, tuple[Slice, ...]]) -> dict[WalletId, tuple[Slice, ...]]:
    """What each credited wallet gets of what is drawn: per asset, the draws of all debits end to end, in order of legs,
    are dealt out to its credits in order of legs, from the front.
    """
    drawn: dict[AssetId, list[Slice]] = {}
    credits_: dict[AssetId, list[tuple[WalletId, int]]] = {}
    for state, direction, amount in sides:
        if direction is Direction.DEBIT:
            drawn.setdefault(state.asset_id, []).extend(draws[state.id])
        else:
            credits_.setdefault(state.asset_id, []).append((state.id, amount))
    return {
        wallet_id: slices
        for asset_id, credited in credits_.items()
        for (wallet_id, _), slices in zip(
            credited, dealt(drawn[asset_id], [amount for _, amount in credited]), strict=True
        )
    }


def _parcels(lot: LotTerms | None, amount: int, book: Book) -> list[Parcel] | None:
    if lot is None:
        return None
    return [Parcel(amount, new=NewLot(lot.category, lot.priority, _expiry(lot, book.decided_at)))]


def _expiry(lot: LotTerms, decided_at: datetime) -> datetime | None:
    if lot.expires_in_seconds is not None:
        return decided_at + timedelta(seconds=lot.expires_in_seconds)
    return lot.expires_at
