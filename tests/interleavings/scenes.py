"""The simultaneous acts of two or three actors, as text, and all their possible results: each serial order, told by the
core and the oracle.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import comb
from typing import Final, TypeAlias

from tests.ledger.oracle.agreement import Pair
from tests.ledger.scripts import ask
from tests.ledger.worlds import World, asset, system_wallets, wallet_id
from wallet.ledger.model import Asset, WalletId, WalletKind, WalletState
from wallet.ledger.outcomes import Grouped, Outcome, Refused, Settled
from wallet.ledger.requests import Group, Request, Single

GOLD: Final = asset("GOLD")
_TRIES: Final = ("", "again", "once more")


@dataclass(frozen=True)
class Pass:
    """Time passes."""

    seconds: int


@dataclass(frozen=True)
class Make:
    """A wallet is made."""

    wallet: str


@dataclass(frozen=True)
class LetGo:
    """A stranger who has held this wallet's lock since before anybody began lets go of it."""

    wallet: str


Act: TypeAlias = tuple[Request, ...] | Pass | Make | LetGo
"""The acts of one actor: a batch, or what a batch may meet."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """before: lines of scripts (tests/ledger/scripts.py) that are posted first; `+60` lets time pass.
    acts: per actor, lines of a batch with `;` between them, in brackets an atomic group; `(again)` and `(once more)`
    for other tries; or `+60`, `make carol`, `let go of bob`.
    orders: how many orders of steps there are, and are tried. ends: how many different ends they come to; at least, of
    orders that are drawn.
    cap: what may be issued of COIN, whose wallets are listed as `alice COIN`.
    stops_at: references before each of which whoever inserts it stops, within the statement that writes.
    drawn: the seed of a selection, where all orders are too many.
    begins: the steps that come first in all of them, where the order of those changes nothing.
    steps: of each actor, those it takes if it is first, after `begins`; the bar stands behind the one that makes the
    other wait.
    """

    name: str
    wallets: str
    before: str = ""
    acts: tuple[str, ...]
    orders: int
    ends: int
    cap: int = 0
    stops_at: tuple[str, ...] = ()
    drawn: int | None = None
    begins: str = ""
    steps: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The name as `pytest -k` takes it."""
        return re.sub(r"\W+", "_", self.name)

    @property
    def orders_allowed(self) -> int:
        """How many orders there are if all that makes anybody wait is that the other has done what stands before
        the bar: whoever is second may ask at any time after the first, and goes on alone once that has ended.
        """
        (one, other) = [[len(part.split()) for part in each.split("|")] for each in self.steps]
        return _orders_first(one, other) + _orders_first(other, one)

    def place(self, mark: str = "") -> "Place":
        return Place(self, mark)

    @cached_property
    def lawful_ends(self) -> Mapping[str, str]:
        """The possible results, each with a serial order that gives it, as letters of actors."""
        here = self.place()
        acts = [here.act(text) for text in self.acts]
        ends: dict[str, str] = {}
        for letters in _merged([len(_events(act)) for act in acts]):
            ends.setdefault(here.end_of(acts, letters), letters)
        return ends


class Place:
    """One scene with names of its own: each wallet and reference ends in `mark`."""

    def __init__(self, scene: Scene, mark: str) -> None:
        self.scene = scene
        self.mark = mark
        listed = [each.split() for each in scene.wallets.split(",")]
        code = f"COIN{mark.replace('.', '_')}"
        self.coin = Asset(
            2 + int(mark.strip(".") or 0),
            code,
            0,
            scene.cap,
            *(wallet_id(name + mark) for name in ("mint", "rev", "brk")),
        )
        self.wallets = {
            wallet_id(name + mark): self._wallet(name, self.coin if more else GOLD) for name, *more in listed
        }
        self.names = [name for name, *_ in listed]
        told = "\n".join((scene.before, *scene.acts))
        references = re.findall(r"(\w+):", told)
        self._renamed = re.compile(rf"\b({'|'.join([*self.names, *references])})\b")
        self.made_later = {wallet_id(name + mark) for name in re.findall(r"make (\w+)", told)}

    def _wallet(self, name: str, of: Asset) -> WalletState:
        return WalletState(wallet_id(name + self.mark), of.id, WalletKind.USER, locked=True)

    @property
    def world(self) -> World:
        assets = {each.code: each for each in ([GOLD, self.coin] if self.scene.cap else [GOLD])}
        system = {state.id: state for each in assets.values() for state in system_wallets(each)}
        return World({**system, **{state.id: state for state in self.users}}, assets, {})

    @property
    def users(self) -> list[WalletState]:
        """The wallets that are there from the beginning."""
        return [state for id_, state in self.wallets.items() if id_ not in self.made_later]

    # Events

    def before(self) -> Iterator[Request | Pass]:
        for line in filter(None, map(str.strip, self.scene.before.split(";"))):
            yield Pass(int(line)) if line.startswith("+") else self._request(line)

    def act(self, text: str) -> Act:
        if text.startswith("+"):
            return Pass(int(text))
        if text.startswith("make "):
            return Make(text.removeprefix("make "))
        if text.startswith("let go of "):
            return LetGo(text.removeprefix("let go of "))
        if text.startswith("["):
            items = tuple(map(self._request, text.strip("[]").split(";")))
            return (Group(items[0].id, "api", f"group of {items[0].reference_id}", items),)
        return tuple(self._request(line) for line in text.split(";"))

    def _request(self, line: str) -> Single:
        line, *tried = line.strip().removesuffix(")").split("(")
        try_number = 1 + _TRIES.index(tried[0]) if tried else 1
        return ask(self._own(line.strip()), self._everything, try_number=try_number)

    @property
    def _everything(self) -> World:
        here = self.world
        return replace(here, wallets={**here.wallets, **self.wallets})

    def _own(self, line: str) -> str:
        return self._renamed.sub(rf"\1{self.mark}", line)

    # Possible results

    def end_of(self, acts: Sequence[Act], letters: str) -> str:
        """The result of this serial order. Fails where the core and the oracle differ."""
        pair = Pair(self.world)
        for event in self.before():
            self._tell(pair, event)
            # In the played orders, too, nothing happens at the instant of an earlier event.
            pair.wait(1)
        left = {_letter(at): iter(_events(act)) for at, act in enumerate(acts)}
        answers: dict[str, list[Outcome]] = {letter: [] for letter in left}
        for letter in letters:
            answers[letter] += self._tell(pair, next(left[letter]))
        here = pair.here
        lots = [(lot.wallet_id, lot.remaining, lot.held) for lot in here.lots.values()]
        states = [here.wallets[id_] for id_ in self.wallets if id_ in here.wallets]
        return self.told(answers, states, lots)

    def _tell(self, pair: Pair, event: Request | Pass | Make) -> Sequence[Outcome]:
        if isinstance(event, Pass):
            pair.wait(event.seconds)
        elif isinstance(event, Make):
            state = self.wallets[wallet_id(event.wallet + self.mark)]
            pair.here = replace(pair.here, wallets={**pair.here.wallets, state.id: state})
            pair.oracle.books.openings = {**pair.oracle.books.openings, state.id: state}
        else:
            return pair.decide(event).outcomes
        return ()

    def told(
        self,
        answers: Mapping[str, Sequence[object]],
        states: Sequence[WalletState],
        lots: Sequence[tuple[WalletId, int, int]],
    ) -> str:
        """Answers and states in words that are the same wherever this was played."""
        lines = [f"{letter} is answered: {self._answer(each)}" for letter, given in answers.items() for each in given]
        for state in sorted(states, key=lambda state: state.id):
            standing = state.standing
            words = [f"{self._name(state.id)} has {state.balance}, held {state.held}, version {state.version}"]
            words += [f"lot {left}({held})" for id_, left, held in sorted(lots) if id_ == state.id and left]
            words += [name for name in ("closed", "freeze_outgoing", "freeze_incoming") if getattr(standing, name)]
            if standing.merged_into is not None:
                words.append(f"merged into {self._name(standing.merged_into)}")
            lines.append(", ".join(words))
        return "\n".join(f"  {line}" for line in lines)

    def _answer(self, outcome: object) -> str:
        if isinstance(outcome, Grouped):
            return "; ".join(map(self._answer, outcome.outcomes))
        if isinstance(outcome, Settled):
            return "settled"
        if isinstance(outcome, Refused):
            return f"{outcome.code.value} available {outcome.available} required {outcome.required}"
        if not isinstance(outcome, Outcome):
            return repr(outcome)
        posted = outcome.posted
        entries = [
            f"{self._name(entry.wallet_id)}{entry.direction * entry.amount:+} = {entry.balance_after} @{entry.version}"
            for entry in posted.entries
        ]
        return f"{type(outcome).__name__.lower()} {posted.type} {', '.join(entries)}"

    def _name(self, id_: WalletId) -> str:
        return id_.bytes.rstrip(b"\0").decode().removesuffix(self.mark)


def _events(act: Act) -> Sequence[Request | Pass | Make]:
    """The smallest parts of them that may come before or after acts of others."""
    if isinstance(act, LetGo):
        return ()
    return act if isinstance(act, tuple) else (act,)


def _orders_first(first: Sequence[int], second: Sequence[int]) -> int:
    """Orders in which `first` is first to get what both need. Both: how many steps until then, that one included, and
    how many after. Before it asks, the second takes its steps at any time, and asks after so many of the first's.
    """
    until, after = first
    return sum(comb(taken + second[0] - 1, taken) for taken in range(until, until + after + 1))


def _letter(at: int) -> str:
    return "ABCDE"[at]


def _merged(counts: Sequence[int]) -> Iterator[str]:
    """All orders of so many events of each actor."""
    if not any(counts):
        yield ""
    for at, count in enumerate(counts):
        if count:
            for rest in _merged([*counts[:at], count - 1, *counts[at + 1 :]]):
                yield _letter(at) + rest
