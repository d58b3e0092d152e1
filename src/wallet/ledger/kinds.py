"""The kinds of requests. One record has everything that the core says of a kind.

A new kind touches, besides its migration and schema.sql,
1. ledger/requests: its request, and the union Single;
2. ledger/transaction_types: the type that it posts;
3. ledger/rules: when it is refused;
4. ledger/movements: what it does;
5. ledger/kinds: its record;
6. service/access/kinds: what it needs of its caller;
7. service/writes/commands: what makes the request, with its fingerprint;
8. http/operations: its body, its builder and its record, in a module of its family; kinds there collects the families.
Type checking fails in 5 and 6 until they are done; tests name the lists under storage/verify that lack the new type,
and a kind without an operation.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar, assert_never, get_args

from wallet.ledger import transaction_types
from wallet.ledger.book import Book
from wallet.ledger.footprint import Footprint, singles, wallets_of_legs
from wallet.ledger.model import Asset, Posted, WalletId
from wallet.ledger.movements.claims import move_cancel, move_place_claim, move_redeem
from wallet.ledger.movements.holds import move_capture, move_extend, move_increase, move_place_hold, move_void
from wallet.ledger.movements.posts import move_post
from wallet.ledger.movements.refunds import move_refund
from wallet.ledger.movements.wallets import move_change, move_grant, move_merge, move_settle
from wallet.ledger.outcomes import Refused
from wallet.ledger.requests import (
    CancelClaim,
    Capture,
    ChangeWallet,
    Extend,
    Grant,
    Increase,
    Merge,
    PlaceClaim,
    PlaceHold,
    Post,
    RedeemClaim,
    Refund,
    Request,
    Settle,
    Single,
    Void,
)
from wallet.ledger.rules.claims import first_refusal_cancel, first_refusal_place_claim, first_refusal_redeem
from wallet.ledger.rules.holds import (
    first_refusal_capture,
    first_refusal_extend,
    first_refusal_increase,
    first_refusal_place_hold,
    first_refusal_void,
)
from wallet.ledger.rules.posts import first_refusal_post
from wallet.ledger.rules.refunds import first_refusal_refund
from wallet.ledger.rules.wallets import (
    first_refusal_change,
    first_refusal_grant,
    first_refusal_merge,
    first_refusal_settle,
)
from wallet.ledger.transaction_types import TransactionType

Assets = Mapping[str, Asset]
R = TypeVar("R", bound=Single)


class Kind(NamedTuple, Generic[R]):
    """A kind of request.

    types: the built-in types that it posts; Post posts general transactions besides. first_refusal: its rule. move: its
    effect, which answers None if it leaves no row of its own. names: adds the ids that the request itself names to a
    footprint. judged_on: the wallets whose due steps are posted before it is judged; None: those that it names.
    may_be_an_item: whether it may be an item of a group. events: the kinds of the wallet events that it leaves.
    """

    request: type[R]
    types: tuple[TransactionType, ...]
    first_refusal: Callable[[R, Book], Refused | None]
    move: Callable[[R, Book], Posted | None]
    names: Callable[[R, Assets, Footprint], None]
    judged_on: Callable[[R, Book], Sequence[WalletId]] | None = None
    may_be_an_item: bool = True
    events: tuple[str, ...] = ()


# The ids that each request names itself. Holds and originals bring in more, once they are loaded.


def _names_of_post(request: Post, assets: Assets, found: Footprint) -> None:
    found.wallets.extend(wallets_of_legs(request, assets))
    # A condition on a wallet that takes no part is refused without looking at it.


def _names_of_place_hold(request: PlaceHold, _: Assets, found: Footprint) -> None:
    ends = [each for each in (request.wallet_id, request.target) if each is not None]
    found.wallets.extend(ends)
    found.reserving.extend(ends)


def _names_of_hold_step(request: Capture | Void | Increase | Extend, _: Assets, found: Footprint) -> None:
    found.holds.append(request.hold_id)


def _names_of_place_claim(request: PlaceClaim, _: Assets, found: Footprint) -> None:
    found.wallets.append(request.wallet_id)
    found.reserving.append(request.wallet_id)


def _names_of_redeem(request: RedeemClaim, _: Assets, found: Footprint) -> None:
    found.holds.append(request.claim_id)
    found.wallets.append(request.wallet_id)
    found.redeeming.append((request.claim_id, request.wallet_id))


def _names_of_cancel(request: CancelClaim, _: Assets, found: Footprint) -> None:
    found.holds.append(request.claim_id)


def _names_of_refund(request: Refund, _: Assets, found: Footprint) -> None:
    found.originals.append(request.original_id)


def _names_of_merge(request: Merge, _: Assets, found: Footprint) -> None:
    found.wallets.extend((request.source, request.target))
    found.ending.append(request.source)
    found.merging.extend((request.source, request.target))


def _names_of_change(request: ChangeWallet, _: Assets, found: Footprint) -> None:
    found.wallets.append(request.wallet_id)
    if request.type == "close":
        found.ending.append(request.wallet_id)


def _names_of_grant(request: Grant, assets: Assets, found: Footprint) -> None:
    found.wallets.append(request.wallet_id)
    found.attachments.append((request.programme_id, request.wallet_id))
    if (asset := assets.get(request.asset_code)) is not None:
        found.wallets.append(asset.treasury)


def _names_of_settle(request: Settle, _: Assets, found: Footprint) -> None:
    found.wallets.append(request.wallet_id)


# Requests that are judged on wallets which they do not name.


def _ends_of_hold(request: Capture | Void | Increase | Extend, book: Book) -> Sequence[WalletId]:
    hold = book.holds.get(request.hold_id)
    if hold is None:
        return ()
    home = book.at_home(hold.wallet_id)
    return (home,) if hold.target is None else (home, book.at_home(hold.target))


def _ends_of_redemption(request: RedeemClaim, book: Book) -> Sequence[WalletId]:
    return [*_home_of_claim(request, book), request.wallet_id]


def _home_of_claim(request: RedeemClaim | CancelClaim, book: Book) -> Sequence[WalletId]:
    hold = book.holds.get(request.claim_id)
    return () if hold is None else (book.at_home(hold.wallet_id),)


def _wallets_of_original(request: Refund, book: Book) -> Sequence[WalletId]:
    original = book.original(request.original_id)
    return [] if original is None else [book.at_home(entry.wallet_id) for entry in original.posted.entries]


POST: Final = Kind(
    Post,
    types=(transaction_types.TOPUP, transaction_types.BONUS, transaction_types.SPEND, transaction_types.TRANSFER),
    first_refusal=first_refusal_post,
    move=move_post,
    names=_names_of_post,
)
PLACE_HOLD: Final = Kind(
    PlaceHold,
    types=(transaction_types.HOLD,),
    first_refusal=first_refusal_place_hold,
    move=move_place_hold,
    names=_names_of_place_hold,
)
CAPTURE: Final = Kind(
    Capture,
    types=(transaction_types.CAPTURE,),
    first_refusal=first_refusal_capture,
    move=move_capture,
    names=_names_of_hold_step,
    judged_on=_ends_of_hold,
)
VOID: Final = Kind(
    Void,
    types=(transaction_types.VOID,),
    first_refusal=first_refusal_void,
    move=move_void,
    names=_names_of_hold_step,
    judged_on=_ends_of_hold,
)
INCREASE: Final = Kind(
    Increase,
    types=(transaction_types.INCREASE,),
    first_refusal=first_refusal_increase,
    move=move_increase,
    names=_names_of_hold_step,
    judged_on=_ends_of_hold,
)
EXTEND: Final = Kind(
    Extend,
    types=(transaction_types.EXTEND,),
    first_refusal=first_refusal_extend,
    move=move_extend,
    names=_names_of_hold_step,
    judged_on=_ends_of_hold,
)
PLACE_CLAIM: Final = Kind(
    PlaceClaim,
    types=(transaction_types.CLAIM_PLACE,),
    first_refusal=first_refusal_place_claim,
    move=move_place_claim,
    names=_names_of_place_claim,
    may_be_an_item=False,
)
REDEEM_CLAIM: Final = Kind(
    RedeemClaim,
    types=(transaction_types.CLAIM_REDEEM,),
    first_refusal=first_refusal_redeem,
    move=move_redeem,
    names=_names_of_redeem,
    judged_on=_ends_of_redemption,
    may_be_an_item=False,
)
CANCEL_CLAIM: Final = Kind(
    CancelClaim,
    types=(transaction_types.CLAIM_CANCEL,),
    first_refusal=first_refusal_cancel,
    move=move_cancel,
    names=_names_of_cancel,
    judged_on=_home_of_claim,
    may_be_an_item=False,
)
REFUND: Final = Kind(
    Refund,
    types=(transaction_types.REFUND,),
    first_refusal=first_refusal_refund,
    move=move_refund,
    names=_names_of_refund,
    judged_on=_wallets_of_original,
)
MERGE: Final = Kind(
    Merge,
    types=(transaction_types.MERGE,),
    first_refusal=first_refusal_merge,
    move=move_merge,
    names=_names_of_merge,
    may_be_an_item=False,
    events=("merge_out",),
)
CHANGE_WALLET: Final = Kind(
    ChangeWallet,
    types=(),
    first_refusal=first_refusal_change,
    move=move_change,
    names=_names_of_change,
    may_be_an_item=False,
    events=("change", "close", "reopen"),
)
GRANT: Final = Kind(
    Grant,
    types=(transaction_types.GRANT,),
    first_refusal=first_refusal_grant,
    move=move_grant,
    names=_names_of_grant,
    may_be_an_item=False,
)
SETTLE: Final = Kind(
    Settle,
    types=(),
    first_refusal=first_refusal_settle,
    move=move_settle,
    names=_names_of_settle,
    may_be_an_item=False,
)


def _record_of(request: Single) -> Kind[Any]:
    match request:
        case Post():
            return POST
        case PlaceHold():
            return PLACE_HOLD
        case Capture():
            return CAPTURE
        case Void():
            return VOID
        case Increase():
            return INCREASE
        case Extend():
            return EXTEND
        case PlaceClaim():
            return PLACE_CLAIM
        case RedeemClaim():
            return REDEEM_CLAIM
        case CancelClaim():
            return CANCEL_CLAIM
        case Refund():
            return REFUND
        case Merge():
            return MERGE
        case ChangeWallet():
            return CHANGE_WALLET
        case Grant():
            return GRANT
        case Settle():
            return SETTLE
        case _:
            assert_never(request)


KINDS: Final[Mapping[type[Single], Kind[Any]]] = {
    # It looks at the class alone, so an instance without values will do.
    each: _record_of(tuple.__new__(each))
    for each in get_args(Single)
}
"""The same by class, which is found faster. Type checking sees what a match lacks, and not what a table lacks."""


def kind_of(request: Single) -> Kind[Any]:
    """The record of a request's kind."""
    return KINDS[type(request)]


def has_reference(request: Single) -> bool:
    """Whether a request leaves a transaction, so that its reference finds it again. Two requests of any other kind are
    never the same request.
    """
    return type(request) is Post or bool(kind_of(request).types)


def wallets_named(request: Request, assets: Assets) -> list[WalletId]:
    """Every wallet that a request names itself, in the order of its legs."""
    if type(request) is Post:
        return wallets_of_legs(request, assets)
    return footprint_of((request,), assets).wallets


def footprint_of(batch: Iterable[Request], assets: Assets) -> Footprint:
    """The ids that a batch names."""
    found = Footprint([], [], [], [], [], [], [], [])
    for request in singles(batch):
        kind_of(request).names(request, assets, found)
    return found


def wallets_judged(request: Single, book: Book) -> Sequence[WalletId]:
    """The wallets that a request is judged on, which may have due steps: those it names, and those they point at."""
    judged_on = kind_of(request).judged_on
    return wallets_named(request, book.assets) if judged_on is None else judged_on(request, book)
