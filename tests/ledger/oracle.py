"""A second ledger, slow and obvious, to compare the real one with.

Written from the specification and not from the code: it keeps nothing but the accepted requests and their entries,
adds all of them up again for every decision, lists every refusal that applies, and answers the first in order of
precedence. It shares only the types of requests and entries with what it checks.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wallet.ledger.model import Asset, Entry, Post, WalletId, WalletKind, WalletState

MOST = 9_223_372_036_854_775_807
PRECEDENCE = [
    "reference_reused",
    "same_wallet",
    "not_found",
    "asset_mismatch",
    "legs_unbalanced",
    "insufficient_funds",
    "supply_exceeded",
    "max_balance_exceeded",
]
Answer = dict[str, Any]


class Oracle:
    def __init__(self, openings: Mapping[WalletId, WalletState], assets: Mapping[str, Asset]) -> None:
        self.openings = dict(openings)
        self.assets = dict(assets)
        self.accepted: dict[tuple[str, str], tuple[Post, Answer]] = {}
        self.entries: list[Entry] = []

    def decide(self, request: Post, now: datetime) -> Answer:
        key = (request.origin, request.reference_id)
        if key in self.accepted:
            first, answer = self.accepted[key]
            if self.meaning(first) != self.meaning(request):
                return {"refused": "reference_reused", "wallet": None, "available": None, "required": None}
            return answer if first.id == request.id else {**answer, "outcome": "replayed"}
        refusals = self.all_refusals(request)
        if refusals:
            # The first of equals is the one that was found first, which is the one of the first leg.
            refusal = min(refusals, key=lambda refusal: PRECEDENCE.index(refusal["rank"]))
            return {name: refusal[name] for name in ("refused", "wallet", "available", "required")}
        entries = []
        for number, leg in enumerate(request.legs):
            wallet = self.openings[self.wallet_of(request, leg.wallet)]
            sign = {"CREDIT": 1, "DEBIT": -1}[leg.direction.name]
            version = self.version(wallet) + 1 if wallet.locked else None
            balance = self.balance(wallet) + sign * leg.amount if wallet.locked else None
            entries.append(Entry(request.id, number, wallet.id, wallet.asset_id, sign, leg.amount, version, balance))
        self.entries += entries
        answer = {"outcome": "applied", "id": request.id, "entries": tuple(entries), "at": now}
        self.accepted[key] = request, answer
        return answer

    def meaning(self, request: Post) -> tuple[Any, ...]:
        """What the caller asked for, whatever the try."""
        return request.type, request.legs, request.asset_code, request.metadata

    def all_refusals(self, request: Post) -> list[Answer]:
        found: list[Answer] = []

        def refuse(code: str, wallet: WalletId | None = None, rank: str = "", **amounts: int) -> None:
            found.append(
                {"refused": code, "rank": rank or code, "wallet": wallet, "available": None, "required": None} | amounts
            )

        meant = [self.wallet_of(request, leg.wallet) for leg in request.legs]
        if any(times > 1 for times in Counter(meant).values()):
            refuse("same_wallet")
        for wallet in meant:
            if isinstance(wallet, WalletKind):
                refuse("asset_not_found", rank="not_found")
            elif wallet not in self.openings:
                refuse("wallet_not_found", wallet, rank="not_found")
        if request.asset_code is not None and request.asset_code not in self.assets:
            refuse("asset_not_found", rank="not_found")
        if any(refusal["rank"] == "not_found" for refusal in found):
            return found

        wallets = [self.openings[wallet] for wallet in meant]
        if request.asset_code is not None:
            for wallet in wallets:
                if wallet.asset_id != self.assets[request.asset_code].id:
                    refuse("asset_mismatch", wallet.id)
        for asset_id in {wallet.asset_id for wallet in wallets}:
            sides: Counter[str] = Counter()
            for wallet, leg in zip(wallets, request.legs, strict=True):
                if wallet.asset_id == asset_id:
                    sides[leg.direction.name] += leg.amount
            if sides["CREDIT"] != sides["DEBIT"]:
                refuse("legs_unbalanced")
        for wallet, leg in zip(wallets, request.legs, strict=True):
            if not wallet.locked:
                continue
            if leg.direction.name == "DEBIT":
                available = self.balance(wallet) + wallet.overdraft_limit - wallet.held
                if leg.amount > available:
                    code = "supply_exceeded" if wallet.kind == WalletKind.TREASURY else "insufficient_funds"
                    refuse(code, wallet.id, available=available, required=leg.amount)
            else:
                most = wallet.max_balance if wallet.max_balance is not None else MOST
                if self.balance(wallet) + leg.amount > most:
                    refuse("max_balance_exceeded", wallet.id)
        return found

    def wallet_of(self, request: Post, wallet: WalletId | WalletKind) -> WalletId | WalletKind:
        """The id of the wallet meant; the kind itself where there is no asset to have such a wallet."""
        asset = self.assets.get(request.asset_code or "")
        if not isinstance(wallet, WalletKind) or asset is None:
            return wallet
        return {
            "treasury": asset.treasury, "revenue": asset.revenue, "breakage": asset.breakage,
        }[wallet.value]  # fmt: skip

    def balance(self, wallet: WalletState) -> int:
        return wallet.balance + sum(
            entry.direction * entry.amount for entry in self.entries if entry.wallet_id == wallet.id
        )

    def version(self, wallet: WalletState) -> int:
        return wallet.version + sum(1 for entry in self.entries if entry.wallet_id == wallet.id)
