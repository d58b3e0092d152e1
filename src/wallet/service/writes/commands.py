"""Turns parsed input into ledger requests, with an id and a fingerprint. PostgreSQL gives the time, after the locks.

The input is well-formed already: amounts are in range, references and codes have the right shape. The ledger's answer
is not known here. Defaults that do not depend on any state are absent from the request, and so from the fingerprint.
"""

from collections.abc import Sequence

from wallet.ledger.fingerprint import fingerprint, fingerprint_grown
from wallet.ledger.kinds import CHANGE_WALLET
from wallet.ledger.model import ORIGIN_API, Direction, HoldId, TransactionId, WalletId, WalletKind
from wallet.ledger.requests import (
    NO_OPTIONS,
    ORIGIN_WALLET,
    PRIORITY_DEFAULT,
    Capture,
    ChangeWallet,
    Extend,
    Increase,
    Leg,
    LotTerms,
    Merge,
    Options,
    PlaceHold,
    Post,
    Refund,
    Void,
)
from wallet.ledger.transaction_types import (
    CAPTURE,
    EXTEND,
    GENERAL_FIELDS,
    GENERAL_LAYOUT,
    HOLD,
    INCREASE,
    ISSUING_TYPES,
    MERGE,
    REFUND,
    SPEND,
    TRANSFER,
    TRANSFER_FIELDS,
    VOID,
    WALLET_MOVEMENT_FIELDS,
    WALLET_MOVEMENT_LAYOUT,
    TransactionType,
)
from wallet.storage.rows.ids import IdSource


class Commands:
    """Makes requests. `asset_code` is upper-case, `metadata` the canonical JSON text or None."""

    def __init__(self) -> None:
        self._ids = IdSource()

    def wallet_movement(
        self,
        type_: str,
        *,
        wallet_id: WalletId,
        asset_code: str,
        amount: int,
        reference_id: str,
        metadata: str | None,
        options: Options = NO_OPTIONS,
        other_wallet_id: WalletId | None = None,
    ) -> Post:
        """A top-up or bonus (treasury to wallet), or a spend (wallet to revenue).

        `other_wallet_id`: the wallet that funds a bonus instead of the treasury, or gets a spend instead of revenue.
        """
        if type_ in ISSUING_TYPES:
            source = WalletKind.TREASURY if other_wallet_id is None else other_wallet_id
            legs = (Leg(source, Direction.DEBIT, amount), Leg(wallet_id, Direction.CREDIT, amount))
        elif type_ == SPEND.name:
            target = WalletKind.REVENUE if other_wallet_id is None else other_wallet_id
            legs = (Leg(wallet_id, Direction.DEBIT, amount), Leg(target, Direction.CREDIT, amount))
        else:
            raise ValueError(f"{type_} is no movement between a wallet and a system wallet")
        values = (type_.encode(), wallet_id.bytes, asset_code.encode(), b"%d" % amount, encoded(metadata))
        if options is NO_OPTIONS and other_wallet_id is None:
            digest = fingerprint(WALLET_MOVEMENT_FIELDS, values)
        else:
            other = None if other_wallet_id is None else other_wallet_id.bytes
            others = (other, None) if type_ in ISSUING_TYPES else (None, other)
            grown = (*values, _lot(options.lot), *others, *_amount_mode(options), _instant(options))
            digest = fingerprint_grown(WALLET_MOVEMENT_LAYOUT, grown, least=len(values))
        return Post(
            self._ids.new_id(),
            ORIGIN_API,
            reference_id,
            digest,
            type_,
            legs,
            asset_code,
            metadata,
            options,
        )

    def transfer(
        self,
        *,
        from_wallet_id: WalletId,
        to_wallet_id: WalletId,
        asset_code: str,
        amount: int,
        reference_id: str,
        metadata: str | None,
        options: Options = NO_OPTIONS,
    ) -> Post:
        """A transfer from wallet to wallet in one asset."""
        values = (
            b"transfer",
            from_wallet_id.bytes,
            to_wallet_id.bytes,
            asset_code.encode(),
            b"%d" % amount,
            encoded(metadata),
        )
        if options is NO_OPTIONS:
            digest = fingerprint(TRANSFER_FIELDS, values)
        else:
            grown = (*values, *_amount_mode(options), _instant(options))
            digest = fingerprint_grown(TRANSFER.layout, grown, least=len(values))
        return Post(
            self._ids.new_id(),
            ORIGIN_API,
            reference_id,
            digest,
            "transfer",
            (Leg(from_wallet_id, Direction.DEBIT, amount), Leg(to_wallet_id, Direction.CREDIT, amount)),
            asset_code,
            metadata,
            options,
        )

    def transaction(
        self,
        type_: str,
        *,
        legs: Sequence[Leg],
        reference_id: str,
        metadata: str | None,
        options: Options = NO_OPTIONS,
    ) -> Post:
        """A general transaction: 2 to 100 legs, over any wallets and assets."""
        # All parts have a fixed width but the amount, which is last and ends with a separator: there is one reading.
        legs_value = b"".join(b"%b%+d:%d;" % (_wallet_bytes(leg), leg.direction, leg.amount) for leg in legs)
        values = (type_.encode(), legs_value, encoded(metadata))
        if options is NO_OPTIONS:
            digest = fingerprint(GENERAL_FIELDS, values)
        else:
            digest = fingerprint_grown(GENERAL_LAYOUT, (*values, _instant(options)), least=len(values))
        return Post(
            self._ids.new_id(),
            ORIGIN_API,
            reference_id,
            digest,
            type_,
            tuple(legs),
            None,
            metadata,
            options,
        )

    def hold(
        self,
        *,
        wallet_id: WalletId,
        asset_code: str,
        amount: int,
        reference_id: str,
        metadata: str | None,
        target: WalletId | None = None,
        expires_in_seconds: int | None = None,
        capture_at_expiry: bool = False,
        options: Options = NO_OPTIONS,
    ) -> PlaceHold:
        """Reserve an amount of a wallet."""
        values = (
            wallet_id.bytes,
            asset_code.encode(),
            b"%d" % amount,
            None if target is None else target.bytes,
            _number(expires_in_seconds),
            b"capture" if capture_at_expiry else None,
            encoded(metadata),
        )
        return PlaceHold(
            id=self._ids.new_id(),
            origin=ORIGIN_API,
            reference_id=reference_id,
            fingerprint=fingerprint_of(HOLD, *values),
            wallet_id=wallet_id,
            asset_code=asset_code,
            amount=amount,
            target=target,
            expires_in_seconds=expires_in_seconds,
            capture_at_expiry=capture_at_expiry,
            metadata=metadata,
            options=options,
        )

    def capture(
        self,
        *,
        hold_id: HoldId,
        reference_id: str,
        metadata: str | None,
        amount: int | None = None,
        final: bool = False,
        options: Options = NO_OPTIONS,
    ) -> Capture:
        """Move part of a hold to its target, or all that remains."""
        values = (
            hold_id.bytes,
            _number(amount),
            b"true" if final else None,
            *_amount_mode(options),
            _instant(options),
            encoded(metadata),
        )
        return Capture(
            id=self._ids.new_id(),
            origin=ORIGIN_API,
            reference_id=reference_id,
            fingerprint=fingerprint_of(CAPTURE, *values),
            hold_id=hold_id,
            amount=amount,
            final=final,
            metadata=metadata,
            options=options,
        )

    def void(self, *, hold_id: HoldId, reference_id: str, metadata: str | None, options: Options = NO_OPTIONS) -> Void:
        """Release what is left of a hold."""
        digest = fingerprint_of(VOID, hold_id.bytes, encoded(metadata))
        return Void(self._ids.new_id(), ORIGIN_API, reference_id, digest, hold_id, metadata, options)

    def increase(
        self,
        *,
        hold_id: HoldId,
        amount: int,
        reference_id: str,
        metadata: str | None,
        options: Options = NO_OPTIONS,
    ) -> Increase:
        """Reserve more by an open hold."""
        digest = fingerprint_of(INCREASE, hold_id.bytes, b"%d" % amount, encoded(metadata))
        id_ = self._ids.new_id()
        return Increase(id_, ORIGIN_API, reference_id, digest, hold_id, amount, metadata, options)

    def extend(
        self,
        *,
        hold_id: HoldId,
        expires_in_seconds: int,
        reference_id: str,
        metadata: str | None,
        options: Options = NO_OPTIONS,
    ) -> Extend:
        """Let an open hold expire later."""
        digest = fingerprint_of(EXTEND, hold_id.bytes, b"%d" % expires_in_seconds, encoded(metadata))
        id_ = self._ids.new_id()
        return Extend(id_, ORIGIN_API, reference_id, digest, hold_id, expires_in_seconds, metadata, options)

    def refund(
        self,
        *,
        transaction_id: TransactionId,
        reference_id: str,
        metadata: str | None,
        amount: int | None = None,
        force: bool = False,
        options: Options = NO_OPTIONS,
    ) -> Refund:
        """Undo a transaction in part, or all that is left of it."""
        values = (
            transaction_id.bytes,
            _number(amount),
            b"true" if force else None,
            _instant(options),
            encoded(metadata),
        )
        return Refund(
            id=self._ids.new_id(),
            origin=ORIGIN_API,
            reference_id=reference_id,
            fingerprint=fingerprint_of(REFUND, *values),
            original_id=transaction_id,
            amount=amount,
            force=force,
            metadata=metadata,
            options=options,
        )

    def merge(
        self,
        *,
        source: WalletId,
        target: WalletId,
        reference_id: str,
        metadata: str | None,
        options: Options = NO_OPTIONS,
    ) -> Merge:
        """Move everything in one wallet into another, and close the first for good."""
        digest = fingerprint_of(MERGE, source.bytes, target.bytes, _instant(options), encoded(metadata))
        id_ = self._ids.new_id()
        return Merge(id_, ORIGIN_API, reference_id, digest, source, target, metadata, options)

    def change_wallet(
        self,
        type_: str,
        *,
        wallet_id: WalletId,
        changes: Sequence[tuple[str, str | int | bool | None]] = (),
        expected_version: int | None = None,
    ) -> ChangeWallet:
        """Change, close or reopen a wallet. Such a request has no reference: each is a request of its own."""
        if type_ not in CHANGE_WALLET.events:
            raise ValueError(f"{type_} is no change of a wallet")
        id_ = self._ids.new_id()
        return ChangeWallet(
            id=id_,
            origin=ORIGIN_WALLET,
            reference_id=str(id_),
            fingerprint=b"",
            type=type_,
            wallet_id=wallet_id,
            changes=tuple(changes),
            expected_version=expected_version,
        )


def fingerprint_of(type_: TransactionType, *values: bytes | None) -> bytes:
    """The fingerprint of a request, from the values that follow its type in the layout."""
    return fingerprint(type_.layout, (type_.name.encode(), *values))


def encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _number(number: int | None) -> bytes | None:
    return None if number is None else b"%d" % number


def _instant(options: Options) -> bytes | None:
    """`effective_at`, which is in UTC."""
    at = options.effective_at
    return None if at is None else at.isoformat(timespec="microseconds").encode()


def _amount_mode(options: Options) -> tuple[bytes | None, bytes | None]:
    """`amount_mode` and `min_amount`."""
    if not options.up_to:
        return None, None
    return b"up_to", None if options.min_amount == 1 else b"%d" % options.min_amount


def _lot(terms: LotTerms | None) -> bytes | None:
    """A lot's terms as one value. No part of it can hold the separators of the parts."""
    if terms is None:
        return None
    expires_at = "" if terms.expires_at is None else terms.expires_at.isoformat(timespec="microseconds")
    expires_in = "" if terms.expires_in_seconds is None else terms.expires_in_seconds
    priority = "" if terms.priority == PRIORITY_DEFAULT else terms.priority
    return f"{terms.category.value};{expires_at};{expires_in};{priority}".encode()


def _wallet_bytes(leg: Leg) -> bytes:
    if isinstance(leg.wallet, WalletKind):
        raise ValueError("the legs of a general transaction name wallets by their ids")
    return leg.wallet.bytes
