"""Small worlds to decide in: wallets and movements from text, and what the next batch would find after a decision."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from tests.ledger.tables import number, rows
from wallet.ledger.apply import Decision, apply_batch
from wallet.ledger.fingerprint import GENERAL, LAYOUTS, fingerprint
from wallet.ledger.model import (
    Asset,
    AssetId,
    Context,
    Direction,
    Leg,
    Post,
    Posted,
    ReferenceKey,
    WalletId,
    WalletKind,
    WalletState,
)
from wallet.ledger.outcomes import Outcome, Refused

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ASSET_IDS = {"GOLD": 1, "COIN": 2}
_ids = count(1)


def wallet_id(name: str) -> WalletId:
    """Every name is the name of a wallet; whether it exists is the world's affair."""
    return UUID(bytes=name.encode().ljust(16, b"\0"))


def asset(code: str, *, max_supply: int | None = None) -> Asset:
    system_wallets = [wallet_id(f"{code}.{kind}") for kind in ("treasury", "revenue", "breakage")]
    return Asset(ASSET_IDS[code], code, 0, max_supply, *system_wallets)


def system_wallets(of: Asset, *, treasury_balance: int = 0) -> list[WalletState]:
    """As the service makes them: nothing is locked but the treasury of a capped asset."""
    capped = of.max_supply is not None
    return [
        WalletState(
            of.treasury, of.id, WalletKind.TREASURY, capped, treasury_balance, overdraft_limit=of.max_supply or 0
        ),
        WalletState(of.revenue, of.id, WalletKind.REVENUE, locked=False),
        WalletState(of.breakage, of.id, WalletKind.BREAKAGE, locked=False),
    ]


@dataclass(frozen=True)
class World:
    """All wallets, assets and accepted transactions there are."""

    wallets: Mapping[WalletId, WalletState]
    assets: Mapping[str, Asset]
    known: Mapping[ReferenceKey, Posted]
    now: datetime = NOON

    def decide(self, *batch: Post) -> Decision:
        return apply_batch(batch, Context(self.wallets, self.assets, self.known), self.now)

    def after(self, *batch: Post) -> "World":
        """What the batch after this one finds, a second later."""
        decision = self.decide(*batch)
        known = {(posted.origin, posted.reference_id): posted for posted in decision.posted}
        return replace(
            self,
            wallets={**self.wallets, **decision.states},
            known={**self.known, **known},
            now=self.now + timedelta(seconds=1),
        )

    def at(self, now: datetime) -> "World":
        return replace(self, now=now)

    def state(self, name: str) -> WalletState:
        return self.wallets[wallet_id(name)]

    def asset_id_of(self, id_: WalletId) -> AssetId:
        return self.wallets[id_].asset_id


def world(wallets: str, *, max_supply: int = 1000) -> World:
    """GOLD without a cap, COIN with one, and the user wallets of the table; every column but two may be left out.

    A row named like a system wallet (`COIN.treasury`) gives that wallet a balance.
    """
    assets = {"GOLD": asset("GOLD"), "COIN": asset("COIN", max_supply=max_supply)}
    states = {state.id: state for each in assets.values() for state in system_wallets(each)}
    for row in rows(wallets):
        id_ = wallet_id(row["wallet"])
        numbers = {name: number(row.get(name, "0")) or 0 for name in ("balance", "held", "version", "overdraft_limit")}
        if id_ in states:
            states[id_] = states[id_]._replace(balance=numbers["balance"])
            continue
        states[id_] = WalletState(
            id_,
            ASSET_IDS[row["asset"]],
            WalletKind.USER,
            locked=True,
            max_balance=number(row.get("max_balance", "-")),
            **numbers,
        )
    return World(states, assets, {})


def legs(text: str) -> tuple[Leg, ...]:
    """`alice-30,bob+30`: 30 from alice to bob. `treasury`, `revenue` and `breakage` are those of the asset named."""
    return tuple(_leg(each) for each in text.split(","))


def _leg(text: str) -> Leg:
    parts = re.fullmatch(r"([^+-]+)([+-])(\d+|MAX)", text)
    assert parts is not None, f"not a leg: {text}"
    name, sign, amount = parts.groups()
    kinds = {kind.value: kind for kind in WalletKind}
    direction = Direction.CREDIT if sign == "+" else Direction.DEBIT
    return Leg(kinds.get(name) or wallet_id(name), direction, number(amount) or 0)


def post(
    reference: str,
    asset_code: str | None,
    moved: str | tuple[Leg, ...],
    *,
    type_: str = "exchange",
    metadata: str | None = None,
    origin: str = "api",
) -> Post:
    """A movement with an id of its own. The asset `-` is none: a general transaction."""
    post_legs = legs(moved) if isinstance(moved, str) else moved
    code = None if asset_code == "-" else asset_code
    return Post(
        UUID(int=next(_ids)),
        origin,
        reference,
        _fingerprint(type_, post_legs, code, metadata),
        type_,
        post_legs,
        code,
        metadata,
    )


def tried_again(request: Post) -> Post:
    """The same request in another try: only its id is new."""
    return request._replace(id=UUID(int=next(_ids)))


def _fingerprint(type_: str, moved: tuple[Leg, ...], asset_code: str | None, metadata: str | None) -> bytes:
    named = [leg for leg in moved if not isinstance(leg.wallet, WalletKind)]
    fields = {
        "type": type_,
        "wallet_id": str(named[0].wallet) if named else None,
        "from_wallet_id": str(moved[0].wallet),
        "to_wallet_id": str(moved[-1].wallet),
        "asset_code": asset_code,
        "amount": str(moved[0].amount),
        "legs": repr((asset_code, moved)),
        "metadata": metadata,
    }
    layout = LAYOUTS.get(type_, GENERAL)
    texts = [fields[name] for name in layout]
    return fingerprint(layout, [None if text is None else text.encode() for text in texts])


def named(outcome: Outcome) -> str:
    """An outcome as the tables write it."""
    return outcome.code.value if isinstance(outcome, Refused) else type(outcome).__name__.lower()
