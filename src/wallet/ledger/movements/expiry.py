"""The expiry of lots: their free credit goes to breakage."""

from collections.abc import Iterable
from datetime import datetime

from wallet.ledger.book import Book
from wallet.ledger.draft import Draft
from wallet.ledger.model import ORIGIN_SERVICE, LotId, Slice, WalletKind
from wallet.ledger.transaction_types import EXPIRY


def expire_lots(book: Book, lots: Iterable[LotId], *, instant: datetime | None = None) -> None:
    """Post the free credit of these lots to breakage, by a transaction of the service's own for each.

    instant: when the credit became free, if that was after the lots had expired.
    """
    for lot_id in lots:
        lot = book.lots[lot_id]
        amount = lot.free
        if amount == 0:
            continue
        times = lot.expiries + 1
        reference_id = f"lot:{lot.id}:expiry:{times}"
        book.put_lot(lot._replace(expiries=times))
        draft = Draft(book, book.derived_id(reference_id), EXPIRY.name, instant=instant or lot.expires_at)
        draft.debit(lot.wallet_id, amount, (Slice(lot.id, amount),))
        draft.credit(book.system_wallet(lot.asset_id, WalletKind.BREAKAGE).id, amount)
        draft.post(origin=ORIGIN_SERVICE, reference_id=reference_id, effective_at=instant or lot.expires_at)
