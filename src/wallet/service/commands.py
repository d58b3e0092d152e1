"""Parsed input -> ledger request: an id and a fingerprint. No time: that comes from the database, after the locks.

What arrives here is well-formed already (amounts in range, references and codes of the right shape); what the ledger
then says to it is not known here.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from wallet.ledger.fingerprint import GENERAL, TRANSFER, WALLET_MOVEMENT, fingerprint
from wallet.ledger.model import Direction, Leg, Post, WalletKind
from wallet.storage.ids import IdSource

ORIGIN_API: Final = "api"
"""The origin of the references that the back end's own requests carry."""

BUILT_IN_TYPES: Final = frozenset(
    {
        "topup", "bonus", "spend", "transfer", "refund", "hold", "capture", "void", "increase", "extend", "release",
        "expiry", "merge", "grant",
    }
)  # fmt: skip
"""Names that a general transaction may not take, those of later releases included: references live for ever."""

_ISSUES: Final = frozenset({"topup", "bonus"})


class Commands:
    """Makes requests. `asset_code` is upper-case, `metadata` the canonical JSON text or None."""

    def __init__(self, *, shard: int = 0) -> None:
        self._ids = IdSource()
        self._shard = shard

    def wallet_movement(
        self,
        type_: str,
        *,
        wallet_id: UUID,
        asset_code: str,
        amount: int,
        reference_id: str,
        metadata: str | None,
    ) -> Post:
        """A top-up or bonus (treasury to wallet), or a spend (wallet to revenue)."""
        if type_ in _ISSUES:
            legs = (Leg(WalletKind.TREASURY, Direction.DEBIT, amount), Leg(wallet_id, Direction.CREDIT, amount))
        elif type_ == "spend":
            legs = (Leg(wallet_id, Direction.DEBIT, amount), Leg(WalletKind.REVENUE, Direction.CREDIT, amount))
        else:
            raise ValueError(f"{type_} is no movement between a wallet and a system wallet")
        values = (type_.encode(), wallet_id.bytes, asset_code.encode(), b"%d" % amount, _encoded(metadata))
        return Post(
            self._ids.new_id(self._shard),
            ORIGIN_API,
            reference_id,
            fingerprint(WALLET_MOVEMENT, values),
            type_,
            legs,
            asset_code,
            metadata,
        )

    def transfer(
        self,
        *,
        from_wallet_id: UUID,
        to_wallet_id: UUID,
        asset_code: str,
        amount: int,
        reference_id: str,
        metadata: str | None,
    ) -> Post:
        """From wallet to wallet in one asset."""
        values = (
            b"transfer",
            from_wallet_id.bytes,
            to_wallet_id.bytes,
            asset_code.encode(),
            b"%d" % amount,
            _encoded(metadata),
        )
        return Post(
            self._ids.new_id(self._shard),
            ORIGIN_API,
            reference_id,
            fingerprint(TRANSFER, values),
            "transfer",
            (Leg(from_wallet_id, Direction.DEBIT, amount), Leg(to_wallet_id, Direction.CREDIT, amount)),
            asset_code,
            metadata,
        )

    def transaction(self, type_: str, *, legs: Sequence[Leg], reference_id: str, metadata: str | None) -> Post:
        """A general transaction: 2 to 100 legs, over any wallets and assets."""
        # Fixed widths but for the amount, which comes last and is closed by its own mark: nothing can run together.
        legs_value = b"".join(b"%b%+d:%d;" % (_wallet_bytes(leg), leg.direction, leg.amount) for leg in legs)
        values = (type_.encode(), legs_value, _encoded(metadata))
        return Post(
            self._ids.new_id(self._shard),
            ORIGIN_API,
            reference_id,
            fingerprint(GENERAL, values),
            type_,
            tuple(legs),
            None,
            metadata,
        )


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _wallet_bytes(leg: Leg) -> bytes:
    if isinstance(leg.wallet, WalletKind):
        raise ValueError("the legs of a general transaction name wallets by their ids")
    return leg.wallet.bytes
