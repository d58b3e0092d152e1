"""The ledger as it must be after the requests: a second, small ledger that shares nothing with the service's.

It is told the lines of a wallet in order of version, and says of each whether the operation behind it can have made it.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.faults.history import Operation


class Line(NamedTuple):
    """A line of a wallet's history as the database has it: an entry, or a step of a hold."""

    wallet: str
    version: int
    is_step: bool
    change: int
    after: int
    kind: str
    captured: int
    released: int
    hold_id: str | None
    transaction: str
    origin: str
    reference: str


@dataclass(slots=True)
class Moment:
    """A wallet as of one version. It was the current one at most from `since` to `until`, by the clients' clock."""

    version: int
    balance: int
    held: int
    since: float
    until: float = math.inf

    @property
    def available(self) -> int:
        return self.balance - self.held

    def overlaps(self, begin: float, end: float) -> bool:
        return self.since <= end and begin <= self.until


@dataclass(slots=True)
class Left:
    """How much was left of something, a hold or what may be refunded, from each version of a wallet on."""

    total: int
    versions: list[int] = field(default_factory=lambda: [0])
    amounts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.amounts = [self.total]

    @property
    def now(self) -> int:
        return self.amounts[-1]

    def take(self, version: int, amount: int) -> None:
        self.versions.append(version)
        self.amounts.append(self.now - amount)

    def at(self, version: int) -> int:
        return self.amounts[bisect_right(self.versions, version) - 1]


class WalletModel:
    """One wallet. `moments` are those since the last `forget`, the first being how things stood then."""

    def __init__(self, wallet: str) -> None:
        self.wallet = wallet
        self.holds: dict[str, Left] = {}
        self.refunds: dict[str, Left] = {}
        self.moments = [Moment(0, 0, 0, -math.inf)]
        self._makers: list[Operation | None] = []

    @property
    def now(self) -> Moment:
        return self.moments[-1]

    def add(self, line: Line, operation: Operation | None) -> Iterator[str]:
        """Take one line; yield what is wrong with it. `operation` None: the service's own doing."""
        before = self.now
        where = f"{self.wallet} version {line.version} ({line.reference})"
        if line.version != before.version + 1:
            yield f"{where}: it follows version {before.version}"
        expected = self._expected(line, operation)
        if expected != line.change:
            yield f"{where}: it changed by {line.change}, and what was asked for changes it by {expected}"
        balance, held = before.balance, before.held
        if line.is_step:
            held += line.change
        else:
            balance += line.change
        if line.after != (held if line.is_step else balance):
            yield f"{where}: it says {line.after} after it, and the sum so far is {held if line.is_step else balance}"
        self._note(line, operation)
        asked_at = -math.inf if operation is None else operation.asked_at
        self.moments.append(Moment(line.version, balance, held, max(before.since, asked_at)))
        self._makers.append(operation)

    def _expected(self, line: Line, operation: Operation | None) -> int | None:
        """By how much the line must change the wallet; None if this operation makes no such line."""
        if operation is None:
            left = self.holds.get(line.hold_id or "")
            is_expiry = line.is_step and line.kind == "expire" and left is not None
            return -left.now if is_expiry and left is not None else None
        match operation.kind:
            case "topup" | "bonus":
                return operation.amount if not line.is_step else None
            case "spend":
                return -(operation.amount or 0) if not line.is_step else None
            case "transfer":
                return (operation.amount or 0) * (-1 if self.wallet == operation.wallet else 1)
            case "hold":
                return operation.amount if line.is_step and line.kind == "place" else None
            case "refund":
                assert operation.on is not None
                takes = operation.on.kind == "topup" or self.wallet == operation.on.other
                return (operation.amount or 0) * (-1 if takes else 1)
            case _:
                return self._expected_of_hold(line, operation)

    def _expected_of_hold(self, line: Line, operation: Operation) -> int | None:
        assert operation.on is not None
        left = self.holds.get(operation.on.id)
        if left is None or (line.is_step and line.hold_id != operation.on.id):
            return None
        if operation.kind == "void":
            return -left.now if line.is_step and line.kind == "void" else None
        if not line.is_step:  # the step came first
            moved = left.amounts[-2] - left.now
            return -(moved if operation.amount is None else operation.amount)
        takes_all = operation.amount is None or operation.final
        return -(left.now if takes_all else operation.amount or 0)

    def _note(self, line: Line, operation: Operation | None) -> None:
        if line.is_step and line.hold_id is not None:
            if line.kind == "place":
                self.holds[line.hold_id] = Left(line.change)
            elif line.hold_id in self.holds:
                self.holds[line.hold_id].take(line.version, -line.change)
        original = operation.on if operation is not None and operation.kind == "refund" else None
        if operation is not None and original is not None and self.wallet == original.wallet:
            self.left_of(original.id, original.amount).take(line.version, operation.amount or 0)

    def left_of(self, original: str, amount: int) -> Left:
        """The amount that may be refunded of a transaction whose first user wallet this is."""
        return self.refunds.setdefault(original, Left(amount))

    def bound(self) -> Iterator[str]:
        """Give every moment its end. Yields pairs of operations that stand in the wrong order: the one of the later
        version had been acknowledged before the one of the earlier version was asked for.
        """
        latest = math.inf
        for index in range(len(self._makers) - 1, -1, -1):
            maker = self._makers[index]
            latest = min(latest, math.inf if maker is None else maker.acknowledged_at)
            self.moments[index].until = latest
            if self.moments[index + 1].since > latest:
                yield f"{self.wallet} version {self.moments[index + 1].version}: what came later was answered earlier"

    def forget(self) -> None:
        """Keep how things stand now. Nothing must be under way, but for what nobody knows of."""
        now = self.now
        self.moments = [Moment(now.version, now.balance, now.held, -math.inf)]
        self._makers = []

    def during(self, begin: float, end: float) -> Iterator[Moment]:
        """The moments that may have been at some time within this interval."""
        return (each for each in self.moments if each.overlaps(begin, end))
