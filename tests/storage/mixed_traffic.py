"""Traffic of every kind at random, by real batches and a clock that runs ahead: a ledger with everything in it.

The ledger decides which requests are refused; most are not, since amounts are small.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import asyncpg

from tests.storage.posting import make_asset, make_wallets, writer_of
from wallet.ledger.model import Direction, LotCategory, WalletKind
from wallet.ledger.outcomes import Applied, Grouped, Outcome, Refused
from wallet.ledger.requests import (
    NO_OPTIONS,
    ORIGIN_WALLET,
    CancelClaim,
    Capture,
    ChangeWallet,
    Condition,
    Extend,
    Group,
    Increase,
    Leg,
    LotTerms,
    Merge,
    Options,
    PlaceClaim,
    PlaceHold,
    Post,
    RedeemClaim,
    Refund,
    Request,
    Settle,
    Void,
)
from wallet.service.due.keeper import DuePoster
from wallet.storage.connections.shard import Shard
from wallet.storage.rows.ids import IdSource

WALLETS: Final = 10
ASSETS: Final = ("GOLD", "GEMS")
_IDS: Final = IdSource()


class MixedTraffic:
    """A random walk over everything that can be asked of a ledger. `outcomes` counts what came of it, by kind."""

    def __init__(self, dsn: str, connection: asyncpg.Connection, seed: int) -> None:
        self.chance = random.Random(seed)
        self.connection = connection
        self.writer = writer_of(dsn)
        self.outcomes: Counter[str] = Counter()
        self.wallets: dict[str, list[UUID]] = {}
        self.holds: list[UUID] = []
        self.claims: list[UUID] = []
        self.posted: list[UUID] = []

    async def begin(self) -> None:
        """Two assets that treat lots differently, one of them capped, with programmes."""
        for code in ASSETS:
            await make_asset(self.connection, code, max_supply=100_000 if code == "GEMS" else None)
            self.wallets[code] = await make_wallets(self.connection, code, WALLETS)
        await self.connection.execute(
            "UPDATE assets SET draw_order = 'main_first', on_refund_to_expired = 'forfeit' WHERE code = 'GEMS'"
        )
        for code in ASSETS:
            programme = _IDS.new_id()
            await self.connection.execute(
                "INSERT INTO programmes (amount, rollover_max, created_at, expires_in_seconds, asset_id, shard,"
                " priority, id, per, category) SELECT 20, 15, ledger_now(), 100000, id, 0, 40, $1, 'day', 'promotional'"
                " FROM assets WHERE code = $2",
                programme,
                code,
            )
            await self.connection.execute(
                "INSERT INTO programme_wallets (anchor_at, next_at, shard, programme_id, wallet_id)"
                " SELECT now, now, 0, $1, id FROM (SELECT ledger_now() AS now) AS clock, unnest($2::uuid[]) AS id",
                programme,
                self.wallets[code][:3],
            )

    async def run(self, batches: int, *, items_max: int = 9) -> None:
        one_at_a_time = asyncio.Lock()

        async def submit(request: Request) -> Outcome:
            async with one_at_a_time:
                return (await self._commit([request]))[0]

        due = DuePoster(submit)
        for _ in range(batches):
            await self._commit([self._request() for _ in range(self.chance.randint(1, items_max))])
            if self.chance.random() < 0.25:
                # Anything from what falls between two requests to days in which a keeper slept.
                seconds = self.chance.choice((0.001, 40, 4000, 90_000))
                await self.connection.execute(
                    "UPDATE sandbox_clock SET advanced = advanced + $1", timedelta(seconds=seconds)
                )
            if self.chance.random() < 0.15:
                await due.post_page(Shard(self.connection))
        await self.writer.close()

    async def _commit(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        answers = await self.writer.commit(batch)
        for request, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Grouped):
                for item, each in zip(request.items, answer.outcomes, strict=True):
                    self._note(item, each)
            else:
                self._note(request, answer)
        return answers

    def _note(self, request: Any, answer: Outcome) -> None:
        self.outcomes[f"{request.type} {type(answer).__name__.lower()}"] += 1
        if isinstance(answer, Refused):
            self.outcomes[answer.code.value] += 1
        if isinstance(answer, Applied):
            made = self.posted
            if isinstance(request, PlaceHold | PlaceClaim):
                made = self.holds if isinstance(request, PlaceHold) else self.claims
            made.append(answer.posted.id)

    def _request(self) -> Request:
        if self.chance.random() < 0.1:
            id_ = _IDS.new_id()
            items = tuple(self._single() for _ in range(self.chance.randint(1, 4)))
            return Group(id_, "api", str(id_), items)
        return self._single()

    def _single(self) -> Any:
        makers: dict[Callable[[dict[str, Any]], Any], float] = {
            self._topup: 8,
            self._spend: 5,
            self._transfer: 5,
            self._general: 2,
            self._hold: 5,
            self._on_hold: 9,
            self._claim: 1.5,
            self._on_claim: 5,
            self._refund: 5,
            self._change: 3,
            self._merge: 0.5,
            self._settle: 1,
        }
        [maker] = self.chance.choices(list(makers), list(makers.values()))
        id_ = _IDS.new_id()
        fingerprint = b"\x01" + sha256(id_.bytes).digest()[:16]
        request = maker({"id": id_, "origin": "api", "reference_id": str(id_), "fingerprint": fingerprint})
        if isinstance(request, Post | PlaceHold | Capture | Increase) and request.type != "topup":
            request = request._replace(carries_lots=self.chance.random() < 0.5)
        return request

    def _code(self) -> str:
        return self.chance.choice(ASSETS)

    def _wallet(self, code: str) -> UUID:
        # The first ones are busier, so that holds and lots meet each other.
        return self.wallets[code][min(self.chance.randrange(WALLETS), self.chance.randrange(WALLETS))]

    def _amount(self) -> int:
        return self.chance.choice((1, 2, 5, 10, 30))

    def _options(self, **fields: Any) -> Options:
        if self.chance.random() < 0.1:
            ago = timedelta(seconds=self.chance.choice((1, 5000)))
            fields["effective_at"] = datetime.now(UTC) - ago
        if self.chance.random() < 0.05:
            fields["dry_run"] = True
        return Options(**fields) if fields else NO_OPTIONS

    def _topup(self, common: dict[str, Any]) -> Post:
        code, options = self._code(), self._options()
        if self.chance.random() < 0.6:
            terms = LotTerms(
                self.chance.choice(list(LotCategory)),
                self.chance.choice((0, 50)),
                expires_in_seconds=self.chance.choice((30, 3000, 50_000, None)),
            )
            options = options._replace(lot=terms)
        return self._two(common, "topup", WalletKind.TREASURY, self._wallet(code), self._amount() * 3, code, options)

    def _spend(self, common: dict[str, Any]) -> Post:
        code = self._code()
        options = self._options(up_to=True) if self.chance.random() < 0.3 else self._options()
        target = self._wallet(code) if self.chance.random() < 0.3 else WalletKind.REVENUE
        return self._two(common, "spend", self._wallet(code), target, self._amount(), code, options)

    def _transfer(self, common: dict[str, Any]) -> Post:
        code = self._code()
        source, target = self._wallet(code), self._wallet(code)
        options = self._options()
        if self.chance.random() < 0.2:
            options = options._replace(conditions=(Condition(source, min_balance=1),))
        return self._two(common, "transfer", source, target, self._amount(), code, options)

    def _two(
        self, common: dict[str, Any], type_: str, source: Any, target: Any, amount: int, code: str, options: Options
    ) -> Post:
        legs = (Leg(source, Direction.DEBIT, amount), Leg(target, Direction.CREDIT, amount))
        return Post(**common, type=type_, legs=legs, asset_code=code, options=options)

    def _general(self, common: dict[str, Any]) -> Post:
        first, second = self._amount(), self._amount()
        gold, gems = self.wallets["GOLD"], self.wallets["GEMS"]
        (giver, taker), (other, another) = self.chance.sample(gold, 2), self.chance.sample(gems, 2)
        legs = (
            Leg(giver, Direction.DEBIT, first),
            Leg(taker, Direction.CREDIT, first),
            Leg(other, Direction.DEBIT, second),
            Leg(another, Direction.CREDIT, second),
        )
        return Post(**common, type="exchange", legs=legs, options=self._options())

    def _hold(self, common: dict[str, Any]) -> PlaceHold:
        code = self._code()
        return PlaceHold(
            **common,
            wallet_id=self._wallet(code),
            asset_code=code,
            amount=self._amount(),
            target=self._wallet(code) if self.chance.random() < 0.5 else None,
            expires_in_seconds=self.chance.choice((20, 2000, 40_000, None)),
            capture_at_expiry=self.chance.random() < 0.5,
        )

    def _on_hold(self, common: dict[str, Any]) -> Any:
        if not self.holds:
            return self._hold(common)
        hold = self.chance.choice(self.holds[-12:])
        kind = self.chance.choice("cccvie")
        if kind == "c":
            amount = self.chance.choice((None, 1, 2, 5))
            return Capture(**common, hold_id=hold, amount=amount, final=self.chance.random() < 0.3)
        if kind == "v":
            return Void(**common, hold_id=hold)
        if kind == "i":
            return Increase(**common, hold_id=hold, amount=self._amount())
        return Extend(**common, hold_id=hold, expires_in_seconds=self.chance.choice((1, 3000)))

    def _claim(self, common: dict[str, Any]) -> PlaceClaim:
        code = self._code()
        return PlaceClaim(
            **common,
            wallet_id=self._wallet(code),
            asset_code=code,
            amount=self.chance.choice((1, 2, 5)),
            code_hash=sha256(common["id"].bytes).digest(),
            expires_in_seconds=self.chance.choice((20, 2000, 40_000)),
            uses=self.chance.choice((1, 2, 5)),
            once_per_user=self.chance.random() < 0.5,
        )

    def _on_claim(self, common: dict[str, Any]) -> Any:
        if not self.claims:
            return self._claim(common)
        claim = self.chance.choice(self.claims[-6:])
        if self.chance.random() < 0.4:
            return CancelClaim(**common, claim_id=claim)
        return RedeemClaim(**common, claim_id=claim, wallet_id=self._wallet(self._code()))

    def _refund(self, common: dict[str, Any]) -> Any:
        if not self.posted:
            return self._topup(common)
        original = self.chance.choice(self.posted[-30:])
        amount = self.chance.choice((None, None, 1, 2))
        return Refund(**common, original_id=original, amount=amount, force=self.chance.random() < 0.3)

    def _change(self, common: dict[str, Any]) -> ChangeWallet:
        common = {**common, "origin": ORIGIN_WALLET}
        code = self._code()
        wallet = self._wallet(code)
        type_ = self.chance.choice(("change", "change", "change", "close", "reopen", "reopen"))
        field, values = self.chance.choice(
            (
                ("overdraft_limit", (0, 5, 40)),
                ("overdraft_limit", (0, 5, 40)),
                ("max_balance", (None, 300)),
                ("limit_day", (None, 25)),
                ("limit_month", (None, 60)),
                ("freeze_outgoing", (True, False, False)),
                ("freeze_incoming", (True, False, False)),
                ("label", ("a label", None)),
                ("metadata", ('{"a":1}', "{}")),
            )
        )
        changes = ((field, self.chance.choice(values)),) if type_ == "change" else ()
        if type_ != "change" and self.chance.random() < 0.7:
            # One that is calm enough to be empty at times.
            wallet = self.wallets[code][-2]
        return ChangeWallet(**common, type=type_, wallet_id=wallet, changes=changes)

    def _merge(self, common: dict[str, Any]) -> Merge:
        wallets = self.wallets[self._code()]
        source, target = self.chance.sample(wallets, 2)
        if self.chance.random() < 0.5:
            return Merge(**common, source=source, target=target)
        # The last ones are calm, and let enough of the others live.
        return Merge(**common, source=wallets[-1], target=target if target != wallets[-1] else wallets[0])

    def _settle(self, common: dict[str, Any]) -> Settle:
        common.pop("fingerprint")
        return Settle(**common, wallet_id=self._wallet(self._code()))
