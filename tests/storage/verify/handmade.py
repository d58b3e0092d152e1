"""A ledger written row by row, as batches would have written it: one of everything that can happen to a wallet.

Nothing of the service takes part, so what verification says about it is not what the service says about itself.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha256
from typing import Any, Final
from uuid import UUID

import asyncpg

from wallet.storage.schema.sequences import find_behind

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAY: Final = timedelta(days=1)
GOLD: Final = 1

Row = dict[str, Any]


def id_of(name: str) -> UUID:
    """The id of a wallet, lot, hold, transaction or programme of the ledger, by the name that it has here."""
    return UUID(md5(name.encode(), usedforsecurity=False).hexdigest())


class Scribe:
    """Writes history line by line, and keeps what rows say in step with it. Each transaction is a batch of its own."""

    def __init__(self) -> None:
        self.at = BEGIN
        self.seq = 0
        self.rows: dict[str, list[Row]] = {}
        self.wallets: dict[str, Row] = {}
        self.holds: dict[str, Row] = {}
        self.claims: dict[str, Row] = {}
        self.lots: dict[str, Row] = {}
        self.asset()

    def asset(self) -> None:
        kinds = ("treasury", "revenue", "breakage")
        self._add(
            "assets", id=GOLD, scale=0, code="GOLD", created_at=BEGIN,
            **{f"{kind}_wallet_id": id_of(kind) for kind in kinds},
        )  # fmt: skip
        for kind in kinds:
            self.wallet(kind, kind)

    def user(self, name: str) -> None:
        self._add("users", created_at=BEGIN, shard=0, id=id_of(name), name=name)

    def wallet(self, name: str, kind: str = "user", *, user: str | None = None) -> None:
        self.wallets[name] = self._add(
            "wallets", id=id_of(name), kind=kind, locked=kind == "user", asset_id=GOLD, shard=0, created_at=BEGIN,
            balance=0, held=0, version=0, lot_balance=0, overdraft_limit=0, max_balance=None, limit_day=None,
            limit_month=None, freeze_outgoing=False, freeze_incoming=False, closed_at=None, merged_into=None,
            next_due_at=None, last_entry_at=None, label=None, user_id=id_of(user) if user else None,
        )  # fmt: skip

    def begin(self, transactions: int = 1) -> None:
        """The next batch, an hour later."""
        self.seq += 1
        self.at += timedelta(hours=1)
        self._add(
            "batches", seq=self.seq, created_at=self.at, transactions=transactions, shard=0,
            id=id_of(f"batch {self.seq}"),
        )  # fmt: skip

    def transaction(
        self, name: str, type_: str, *, hold: str | None = None, refund_of: str | None = None,
        effective_at: datetime | None = None, details: Row | None = None, origin: str = "api", reference: str = "",
    ) -> None:  # fmt: skip
        """Begin a batch with this transaction. Its effects come next."""
        self.begin()
        self.name, self.leg, self.ordinal = name, 0, 0
        self.effective_at = effective_at or self.at
        self._add(
            "transactions", seq=self.seq, created_at=self.at, effective_at=self.effective_at, shard=0, id=id_of(name),
            hold_id=id_of(hold) if hold else None, refund_of=id_of(refund_of) if refund_of else None, origin=origin,
            reference_id=reference or name, type=type_, fingerprint=b"\x01", metadata=None,
            details=json.dumps(details, separators=(",", ":")) if details else None,
        )  # fmt: skip

    def move(self, source: str, target: str, amount: int) -> None:
        """A debit and a credit."""
        for name, change in ((source, -amount), (target, amount)):
            wallet, position, balance = self.wallets[name], None, None
            if wallet["locked"]:
                wallet["balance"] += change
                position, balance = self._line(wallet), wallet["balance"]
            else:
                position = self.seq << 20 | self.leg + 1
                self._add("system_deltas", seq=self.seq, shard=0, wallet_id=wallet["id"], amount=change)
            common = {"created_at": self.at, "position": position, "shard": 0, "wallet_id": wallet["id"]}
            self._add(
                "ledger_entries", **common, amount=amount, balance_after=balance, asset_id=GOLD, leg=self.leg,
                direction=1 if change > 0 else -1, transaction_id=id_of(self.name),
            )  # fmt: skip
            if self.effective_at < self.at:
                self._add(
                    "backdated_entries", **common, effective_at=self.effective_at, change=change,
                    transaction_id=id_of(self.name),
                )  # fmt: skip
            self.leg += 1

    def place(
        self, hold: str, wallet: str, amount: int, slices: Sequence[tuple[str | None, int]] = (), *,
        days: int | None = None, target: str | None = None, carries_lots: bool = False, claim: Row | None = None,
    ) -> None:  # fmt: skip
        """A hold, placed by a transaction of its name; captured at its expiry if it has a target. Or a claim."""
        self.transaction(hold, "claim_place" if claim else "hold", hold=hold)
        if claim:
            self.claims[hold] = claim
            code_hash = sha256(hold.encode()).digest()
            self._add("claims", **claim, created_at=self.at, shard=0, id=id_of(hold), code_hash=code_hash)
        self.holds[hold] = self._add(
            "holds", amount=0, captured=0, released=0, created_at=self.at, asset_id=GOLD, shard=0, id=id_of(hold),
            expires_at=None if days is None else BEGIN + days * DAY, capture_at_expiry=target is not None,
            wallet_id=id_of(wallet), target_wallet_id=id_of(target) if target else None, status="open",
            slice_lots=[], slice_amounts=[], carries_lots=carries_lots,
        )  # fmt: skip
        self.step(hold, wallet, "place", amount, slices or [(None, amount)])

    def step(
        self, hold: str, wallet: str, kind: str, change: int, slices: Sequence[tuple[str | None, int]] = (), *,
        captured: int = 0, released: int = 0, status: str = "open",
    ) -> None:  # fmt: skip
        """A step of a hold, which then consists of these slices."""
        row, owner, claim = self.holds[hold], self.wallets[wallet], self.claims.get(hold)
        name = hold
        owner["held"] += change
        row["amount"] += change if kind in ("place", "increase") else 0
        row["captured"] += captured
        row["released"] += released
        row["status"] = status
        row["wallet_id"] = owner["id"]
        row["slice_lots"] = [lot and id_of(lot) for lot, _ in slices]
        row["slice_amounts"] = [amount for _, amount in slices]
        if kind not in ("move_out", "move_in"):
            hold = {
                "id": str(row["id"]),
                "target": row["target_wallet_id"] and str(row["target_wallet_id"]),
                "capture_at_expiry": row["capture_at_expiry"],
                "expires_at": row["expires_at"] and row["expires_at"].isoformat(),
            }
            if row["carries_lots"]:
                hold["carries_lots"] = True
            if claim:
                hold["claim"] = {**claim, "code_hash": sha256(name.encode()).hexdigest()}
            self._tell(hold=hold)
        self._add(
            "hold_steps", position=self._line(owner), held_change=change, held_after=owner["held"], captured=captured,
            released=released, created_at=self.at, expires_at=row["expires_at"], shard=0, wallet_id=owner["id"],
            hold_id=row["id"], transaction_id=id_of(self.name), kind=kind,
        )  # fmt: skip

    def open_lot(
        self, lot: str, wallet: str, amount: int, *, days: int | None = None, programme: str | None = None
    ) -> None:
        """A lot that this transaction opens, which says so in its details."""
        self.lots[lot] = self._add(
            "lots", amount=amount, remaining=0, held=0, opened_at=self.at, asset_id=GOLD, expiries=0, shard=0,
            expires_at=None if days is None else BEGIN + days * DAY, priority=50, id=id_of(lot),
            wallet_id=id_of(wallet), opened_by=id_of(self.name), category="promotional",
            programme_id=id_of(programme) if programme else None,
        )  # fmt: skip
        self._tell(opened=[str(id_of(lot))])
        self.change_lot(lot, wallet, amount)

    def join_lot(self, lot: str, wallet: str, amount: int) -> None:
        """An amount for a lot that another transaction opened, which this one has in its details."""
        self._tell(joined=[{"lot_id": str(id_of(lot)), "amount": amount}])
        self.change_lot(lot, wallet, amount)

    def change_lot(self, lot: str, wallet: str, change: int, held_change: int = 0) -> None:
        row = self.lots[lot]
        row["remaining"] += change
        row["held"] += held_change
        row["wallet_id"] = id_of(wallet)
        self.wallets[wallet]["lot_balance"] += change
        self._add(
            "lot_moves", change=change, held_change=held_change, created_at=self.at, ordinal=self.ordinal, shard=0,
            lot_id=row["id"], wallet_id=id_of(wallet), transaction_id=id_of(self.name),
        )  # fmt: skip
        self.ordinal += 1

    def event(self, wallet: str, kind: str, *, name: str | None = None, **changes: Any) -> None:
        """A wallet event; of the transaction under way if that has this name, else in a batch of its own."""
        if name is None:
            self.begin(0)
            name = f"event {self.seq}"
        row = self.wallets[wallet]
        row.update({field: value for field, value in changes.items() if field != "merged_into"})
        if kind == "merge_out":
            row["merged_into"] = UUID(changes["merged_into"])
        row["closed_at"] = self.at if kind in ("close", "merge_out") else None
        self._add(
            "wallet_events", seq=self.seq, position=self._line(row), created_at=self.at, shard=0, wallet_id=row["id"],
            id=id_of(name), kind=kind, changes=json.dumps(changes, separators=(",", ":")),
        )  # fmt: skip

    def refunded(self, original: str, amount: int, refunds: int) -> None:
        self._add("refund_states", refunded=amount, refunds=refunds, shard=0, original_id=id_of(original))

    async def write(self, connection: asyncpg.Connection) -> None:
        """Store everything, with every trigger off. They stay off."""
        self._set_due()
        for table, rows in self.rows.items():
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            await connection.copy_records_to_table(
                table, records=[tuple(row.values()) for row in rows], columns=list(rows[0])
            )
        await connection.execute("UPDATE watermarks SET seq = $1", self.seq)
        for behind in await find_behind(connection):
            await connection.execute("SELECT setval($1::text::regclass, $2)", behind.sequence, behind.last_number)

    def _set_due(self) -> None:
        by_id = {row["id"]: row for row in self.wallets.values()}
        due: list[tuple[UUID | None, datetime | None]] = []
        for hold in self.holds.values():
            if hold["status"] == "open":
                due += [(hold[end], hold["expires_at"]) for end in ("wallet_id", "target_wallet_id")]
        due += [(lot["wallet_id"], lot["expires_at"]) for lot in self.lots.values() if lot["remaining"] > lot["held"]]
        for wallet_id, at in due:
            if wallet_id is not None and at is not None:
                wallet = by_id[wallet_id]
                wallet["next_due_at"] = min(at, wallet["next_due_at"] or at)

    def _tell(self, **members: Any) -> None:
        """Add to the details of the transaction under way."""
        row = self.rows["transactions"][-1]
        row["details"] = json.dumps({**json.loads(row["details"] or "{}"), **members})

    def _line(self, wallet: Row) -> int:
        """The position of the next line of a locked wallet's history."""
        wallet["version"] += 1
        wallet["last_entry_at"] = self.at
        return int(wallet["version"])

    def _add(self, table: str, **row: Any) -> Row:
        self.rows.setdefault(table, []).append(row)
        return row


def drawn(wallet: str, *slices: tuple[str | None, int]) -> Row:
    """Details of a debit that drew on lots."""
    owner = str(id_of(wallet))
    return {
        "drawn": [
            {"wallet_id": owner, "amount": amount} if lot is None
            else {"wallet_id": owner, "lot_id": str(id_of(lot)), "category": "promotional", "amount": amount}
            for lot, amount in slices
        ]
    }  # fmt: skip


def handmade_ledger() -> Scribe:
    """One asset; alice has lots and holds, carol was merged into bob, dave closed, erin limited, frank below zero, ivan
    has what came along, and kate has placed claims, which liam and mona redeem.
    """
    scribe = Scribe()
    for name in ("alice", "bob", "carol", "dave", "erin", "frank", "gina", "heidi", "ivan"):
        scribe.wallet(name)
    _holds_and_lots(scribe)
    _merges(scribe)
    _refunds(scribe)
    _expiries(scribe)
    _standings(scribe)
    _grants(scribe)
    _carrying(scribe)
    _joins(scribe)
    _claims(scribe)
    return scribe


def _holds_and_lots(scribe: Scribe) -> None:
    scribe.transaction("alice topup", "topup")
    scribe.move("treasury", "alice", 100)
    scribe.transaction("alice bonus", "bonus")
    scribe.move("treasury", "alice", 50)
    scribe.open_lot("lot 1", "alice", 50, days=30)
    scribe.place("hold 1", "alice", 30, [("lot 1", 30)], days=10)
    scribe.change_lot("lot 1", "alice", 0, 30)
    scribe.transaction("capture 1", "capture", hold="hold 1", details=drawn("alice", ("lot 1", 10)))
    scribe.step("hold 1", "alice", "capture", -10, [("lot 1", 20)], captured=10)
    scribe.move("alice", "revenue", 10)
    scribe.change_lot("lot 1", "alice", -10, -10)
    scribe.transaction("increase 1", "increase", hold="hold 1")
    scribe.step("hold 1", "alice", "increase", 5, [("lot 1", 25)])
    scribe.change_lot("lot 1", "alice", 0, 5)
    scribe.transaction("extend 1", "extend", hold="hold 1")
    scribe.holds["hold 1"]["expires_at"] = BEGIN + 12 * DAY
    scribe.step("hold 1", "alice", "extend", 0, [("lot 1", 25)])
    scribe.transaction("void 1", "void", hold="hold 1")
    scribe.step("hold 1", "alice", "void", -25, released=25, status="voided")
    scribe.change_lot("lot 1", "alice", 0, -25)
    # A capture that ends its hold, and releases the rest.
    scribe.place("hold 2", "alice", 9)
    scribe.transaction("capture 2", "capture", hold="hold 2")
    scribe.step("hold 2", "alice", "capture", -9, captured=7, released=2, status="captured")
    scribe.move("alice", "revenue", 7)
    scribe.place("hold 3", "alice", 10, [("lot 1", 6), (None, 4)], days=40)
    scribe.change_lot("lot 1", "alice", 0, 6)


def _merges(scribe: Scribe) -> None:
    """Carol goes into bob with a lot and a hold, gina with nothing. Heidi awaits a capture from bob's hold."""
    scribe.transaction("carol topup", "topup")
    scribe.move("treasury", "carol", 40)
    scribe.transaction("carol bonus", "bonus")
    scribe.move("treasury", "carol", 20)
    scribe.open_lot("lot 2", "carol", 20, days=25)
    scribe.place("hold 4", "carol", 15, [("lot 2", 5), (None, 10)], days=20, target="heidi")
    scribe.change_lot("lot 2", "carol", 0, 5)
    scribe.transaction("merge", "merge")
    slices: list[tuple[str | None, int]] = [("lot 2", 5), (None, 10)]
    scribe.step("hold 4", "carol", "move_out", -15, slices)
    scribe.change_lot("lot 2", "carol", -20, -5)
    scribe.change_lot("lot 2", "bob", 20, 5)
    scribe.move("carol", "bob", 60)
    scribe.step("hold 4", "bob", "move_in", 15, slices)
    scribe.event("carol", "merge_out", name="merge", merged_into=str(id_of("bob")))
    scribe.transaction("empty merge", "merge")
    scribe.event("gina", "merge_out", name="empty merge", merged_into=str(id_of("bob")))


def _refunds(scribe: Scribe) -> None:
    scribe.transaction("spend 1", "spend", details=drawn("alice", ("lot 1", 20)))
    scribe.move("alice", "revenue", 20)
    scribe.change_lot("lot 1", "alice", -20)
    for number, amount in (("1", 8), ("2", 3)):
        scribe.transaction(f"refund {number}", "refund", refund_of="spend 1")
        scribe.move("revenue", "alice", amount)
        scribe.change_lot("lot 1", "alice", amount)
    scribe.refunded("spend 1", 11, 2)
    scribe.transaction("general", "prize")
    scribe.move("treasury", "bob", 3)
    scribe.transaction("general refund", "refund", refund_of="general")
    scribe.move("bob", "treasury", 3)
    scribe.refunded("general", 0, 1)
    # One that was asked for and refused.
    scribe.refunded("alice topup", 0, 0)
    # A refund by force.
    scribe.transaction("frank topup", "topup")
    scribe.move("treasury", "frank", 10)
    scribe.transaction("frank spend", "spend")
    scribe.move("frank", "revenue", 10)
    scribe.transaction("forced refund", "refund", refund_of="frank topup")
    scribe.move("frank", "treasury", 10)
    scribe.refunded("frank topup", 10, 1)


def _expiries(scribe: Scribe) -> None:
    scribe.transaction("short bonus", "bonus")
    scribe.move("treasury", "alice", 7)
    scribe.open_lot("lot 3", "alice", 7, days=1)
    scribe.place("hold 5", "alice", 2, days=1)
    scribe.at = BEGIN + 2 * DAY
    reference = f"hold:{id_of('hold 5')}:expiry"
    scribe.transaction(
        "hold expiry", "expiry", hold="hold 5", origin="service", reference=reference, effective_at=BEGIN + DAY
    )
    scribe.step("hold 5", "alice", "expire", -2, released=2, status="expired")
    scribe.transaction(
        "lot expiry", "expiry", details=drawn("alice", ("lot 3", 7)), origin="service",
        reference=f"lot:{id_of('lot 3')}:expiry:1", effective_at=BEGIN + DAY,
    )  # fmt: skip
    scribe.move("alice", "breakage", 7)
    scribe.change_lot("lot 3", "alice", -7)
    scribe.lots["lot 3"]["expiries"] = 1
    scribe.transaction("late topup", "topup", effective_at=BEGIN + DAY / 2)
    scribe.move("treasury", "alice", 5)


def _standings(scribe: Scribe) -> None:
    scribe.transaction("dave topup", "topup")
    scribe.move("treasury", "dave", 3)
    scribe.transaction("dave spend", "spend")
    scribe.move("dave", "revenue", 3)
    scribe.event("dave", "close")
    scribe.event("dave", "reopen")
    scribe.event("dave", "close")
    # A limit raised, used and lowered: what comes in afterwards need not lift the wallet above it.
    scribe.event("erin", "change", overdraft_limit=100, label="Erin")
    scribe.transaction("erin spend", "spend")
    scribe.move("erin", "revenue", 60)
    scribe.place("hold 6", "erin", 30)
    scribe.event("erin", "change", overdraft_limit=10, limit_day=500, max_balance=1000)
    scribe.transaction("erin topup", "topup")
    scribe.move("treasury", "erin", 5)
    # A capture takes what was reserved before.
    scribe.transaction("capture 6", "capture", hold="hold 6")
    scribe.step("hold 6", "erin", "capture", -20, [(None, 10)], captured=20)
    scribe.move("erin", "revenue", 20)
    scribe.event("erin", "change", freeze_outgoing=True, limit_day=None)


def _grants(scribe: Scribe) -> None:
    """Alice is attached to a programme; of two periods one was granted, and one passed over."""
    begin = scribe.at
    programme, alice = id_of("programme"), id_of("alice")
    scribe._add(
        "programmes", amount=25, rollover_max=None, created_at=BEGIN, ends_at=None, expires_in_seconds=None,
        asset_id=GOLD, shard=0, priority=50, id=programme, per="day", category="promotional",
    )  # fmt: skip
    for period, skipped in ((0, None), (1, "wallet_frozen")):
        starts_at = begin + period * DAY
        scribe.at = starts_at
        scribe.transaction(
            f"grant {period}", "grant", origin="service", effective_at=starts_at,
            reference=f"grant:{programme}:{alice}:{starts_at:%Y-%m-%dT%H:%M:%S.%fZ}",
            details={"skipped": skipped} if skipped else None,
        )  # fmt: skip
        if not skipped:
            scribe.move("treasury", "alice", 20)
            scribe.open_lot("lot 4", "alice", 20, programme="programme")
    scribe._add(
        "programme_wallets", anchor_at=begin, next_at=begin + 2 * DAY, ended_at=None, next_period=2, shard=0,
        programme_id=programme, wallet_id=alice,
    )  # fmt: skip


def _carrying(scribe: Scribe) -> None:
    """A bound caller's hold on alice's lot, captured to ivan, and a spend of hers to him."""
    scribe.place("hold 7", "alice", 5, [("lot 4", 5)], target="ivan", carries_lots=True)
    scribe.change_lot("lot 4", "alice", 0, 5)
    scribe.transaction("capture 7", "capture", hold="hold 7", details=drawn("alice", ("lot 4", 5)))
    scribe.step("hold 7", "alice", "capture", -5, captured=5, status="captured")
    scribe.move("alice", "ivan", 5)
    scribe.change_lot("lot 4", "alice", -5, -5)
    scribe.open_lot("lot 5", "ivan", 5)
    scribe.transaction("spend 2", "spend", details=drawn("alice", ("lot 4", 3)))
    scribe.move("alice", "ivan", 3)
    scribe.change_lot("lot 4", "alice", -3)
    scribe.open_lot("lot 6", "ivan", 3)


def _joins(scribe: Scribe) -> None:
    """Alice transfers credit of one lot to bob, twice."""
    for name, amount in (("carried 1", 2), ("carried 2", 3)):
        scribe.transaction(name, "transfer", details=drawn("alice", ("lot 1", amount)))
        scribe.move("alice", "bob", amount)
        scribe.change_lot("lot 1", "alice", -amount)
        if name == "carried 1":
            scribe.open_lot("lot carried", "bob", amount, days=30)
        else:
            scribe.join_lot("lot carried", "bob", amount)


def _claims(scribe: Scribe) -> None:
    """Kate places claims: one that each user may redeem once, and others that are used up, cancelled, or expire."""
    scribe.wallet("kate")
    for name in ("liam", "mona"):
        scribe.user(f"user {name}")
        scribe.wallet(name, user=f"user {name}")
    scribe.transaction("kate topup", "topup")
    scribe.move("treasury", "kate", 40)
    scribe.transaction("kate bonus", "bonus")
    scribe.move("treasury", "kate", 7)
    scribe.open_lot("lot 7", "kate", 7)
    once = {"amount": 5, "uses": 4, "once_per_user": True}
    scribe.place("claim 1", "kate", 20, [("lot 7", 7), (None, 13)], days=60, carries_lots=True, claim=once)
    scribe.change_lot("lot 7", "kate", 0, 7)
    _redeem(scribe, "redemption 1", "claim 1", "liam", (("lot 7", 5),), [("lot 7", 2), (None, 13)])
    _redeem(scribe, "redemption 2", "claim 1", "mona", (("lot 7", 2), (None, 3)), [(None, 10)])
    for each in ("redemption 1", "redemption 2"):
        user = "user liam" if each == "redemption 1" else "user mona"
        scribe._add(
            "claim_redemptions", shard=0, claim_id=id_of("claim 1"), user_id=id_of(user), transaction_id=id_of(each)
        )
    anybody = {"amount": 3, "uses": 2, "once_per_user": False}
    scribe.place("claim 2", "kate", 6, days=60, carries_lots=True, claim=anybody)
    _redeem(scribe, "redemption 3", "claim 2", "liam", ((None, 3),), [(None, 3)])
    _redeem(scribe, "redemption 4", "claim 2", "liam", ((None, 3),), [])
    scribe.transaction("redeemed back", "refund", refund_of="redemption 4")
    scribe.move("liam", "kate", 1)
    scribe.refunded("redemption 4", 1, 1)
    scribe.place("claim 3", "kate", 6, days=60, carries_lots=True, claim=anybody)
    scribe.transaction("cancel 3", "claim_cancel", hold="claim 3")
    scribe.step("claim 3", "kate", "void", -6, released=6, status="voided")
    scribe.place("claim 4", "kate", 6, days=30, carries_lots=True, claim=anybody)
    scribe.at = max(scribe.at, BEGIN + 30 * DAY)
    scribe.transaction(
        "expiry 4", "expiry", hold="claim 4", origin="service", reference=f"hold:{id_of('claim 4')}:expiry",
        effective_at=BEGIN + 30 * DAY,
    )  # fmt: skip
    scribe.step("claim 4", "kate", "expire", -6, released=6, status="expired")
    # A general transaction of a release that had no claims yet may have their names.
    scribe.transaction("named alike", "claim_place")
    scribe.move("treasury", "kate", 2)
    scribe.transaction("named alike refund", "refund", refund_of="named alike")
    scribe.move("kate", "treasury", 2)
    scribe.refunded("named alike", 0, 1)


def _redeem(
    scribe: Scribe, name: str, claim: str, wallet: str, taken: Sequence[tuple[str | None, int]],
    left: Sequence[tuple[str | None, int]],
) -> None:  # fmt: skip
    amount = sum(size for _, size in taken)
    has_lots = any(lot for lot, _ in taken)
    scribe.transaction(name, "claim_redeem", hold=claim, details=drawn("kate", *taken) if has_lots else None)
    scribe.step(claim, "kate", "capture", -amount, left, captured=amount, status="open" if left else "captured")
    scribe.move("kate", wallet, amount)
    for lot, size in taken:
        if lot is not None:
            scribe.change_lot(lot, "kate", -size, -size)
            scribe.open_lot(f"lot of {name}", wallet, size)
