"""The requests and answers of clients, with their times: the only thing that the checks believe."""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class Verdict(enum.Enum):
    """The result of one try."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    NOT_NOW = "not now"
    """A 503 that says that this try applied nothing, or a connection that was never made."""
    UNKNOWN = "unknown"
    """503 outcome_unknown."""
    NO_ANSWER = "no answer"
    """The connection ended, or the client's patience did."""
    WRONG = "wrong"
    """An answer that no movement may ever get."""


DOUBTFUL = (Verdict.UNKNOWN, Verdict.NO_ANSWER, Verdict.WRONG)
DEFINITE = (Verdict.ACKNOWLEDGED, Verdict.REFUSED, Verdict.WRONG)


@dataclass(slots=True)
class Try:
    """One request, in seconds of the client's monotonic clock. `content`: what was answered."""

    asked_at: float
    answered_at: float
    verdict: Verdict
    status: int = 0
    content: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Operation:
    """A movement under one reference, with all its tries.

    kind: topup, bonus, spend, transfer, hold, capture, void or refund. `wallet` is the one whose lines tell what came
    of it, `other` the second user wallet that takes part. `amount` None: all that remains. `on`: what a capture, void
    or refund is about.
    """

    reference: str
    kind: str
    wallet: str
    path: str
    body: dict[str, Any]
    amount: int | None = None
    other: str | None = None
    final: bool = False
    on: "Target | None" = None
    tries: list[Try] = field(default_factory=list)
    # Filled by the checks: the lines of wallets that it made, and the transactions they belong to.
    lines: int = 0
    transactions: set[str] = field(default_factory=set)

    @property
    def asked_at(self) -> float:
        return min(each.asked_at for each in self.tries)

    @property
    def acknowledged_at(self) -> float:
        """Infinite if it never was."""
        return min((each.answered_at for each in self.acknowledgements), default=math.inf)

    @property
    def acknowledgements(self) -> Sequence[Try]:
        return [each for each in self.tries if each.verdict is Verdict.ACKNOWLEDGED]

    @property
    def refusals(self) -> Sequence[Try]:
        return [each for each in self.tries if each.verdict is Verdict.REFUSED]

    @property
    def is_doubtful(self) -> bool:
        """Whether it may be there or not, as far as its client can know."""
        return not self.acknowledgements and any(each.verdict in DOUBTFUL for each in self.tries)

    @property
    def lines_expected(self) -> int:
        if self.kind == "capture":
            return 2
        if self.kind == "refund":
            assert self.on is not None
            return 1 if self.on.other is None else 2
        return 1 if self.other is None else 2


@dataclass(frozen=True, slots=True)
class Target:
    """An acknowledged operation that others are about: a hold, or the original of refunds."""

    id: str
    kind: str
    wallet: str
    other: str | None
    amount: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A balance as it was answered."""

    asked_at: float
    answered_at: float
    wallet: str
    version: int
    balance: int
    held: int


@dataclass(slots=True)
class History:
    """The operations asked for and balances read since the last check. `acknowledged` counts the whole run's,
    `silence_seconds` is the longest time without an acknowledgement since `listen`.
    """

    operations: dict[str, Operation] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    acknowledged: int = 0
    silence_seconds: float = 0.0
    _heard_at: float = 0.0

    def note(self, operation: Operation, tried: Try) -> None:
        operation.tries.append(tried)

    def count(self, operation: Operation, tried: Try) -> None:
        """An acknowledgement has come; its first counts."""
        if len(operation.acknowledgements) == 1:
            self.acknowledged += 1
        self.silence_seconds = max(self.silence_seconds, tried.answered_at - self._heard_at)
        self._heard_at = tried.answered_at

    def listen(self, now: float) -> None:
        """From now on, measure how long nothing is acknowledged."""
        self._heard_at, self.silence_seconds = now, 0.0
