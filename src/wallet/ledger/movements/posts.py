"""Top-up, bonus, spend, transfer and general transactions."""

from wallet.errors import ensure
from wallet.ledger.book import Book
from wallet.ledger.draft import Draft
from wallet.ledger.footprint import asset_of, wallet_of
from wallet.ledger.model import Details, Direction, Posted, Slice, WalletId
from wallet.ledger.movements.expiry import expire_lots
from wallet.ledger.parcels import carried_over, dealt_out, of_terms
from wallet.ledger.requests import Post
from wallet.ledger.rules.posts import amounts_of
from wallet.ledger.transaction_types import TRANSFER


def move_post(post: Post, book: Book) -> Posted:
    """Make the debits and credits of the legs."""
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
    arriving = dealt_out(sides, draws) if post.carries_lots or post.type == TRANSFER.name else None
    draft = Draft(book, post.id, post.type)
    for state, direction, amount in sides:
        if direction is Direction.DEBIT:
            draft.debit(state.id, amount, draws[state.id])
        elif arriving is not None:
            parcels = carried_over(arriving[state.id], state, book)
            draft.credit(state.id, amount, parcels, repays=not post.carries_lots)
        else:
            draft.credit(state.id, amount, of_terms(post.options.lot, amount, book))
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
