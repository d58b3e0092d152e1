"""Runs actors one step at a time in a given order, and finds all orders of their steps that PostgreSQL allows.

Whether a step waits for a lock is asked of PostgreSQL, never guessed from how long it takes.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from tests.interleavings.gates import Actor, InnerGates

ASKED_EVERY_SECONDS: Final = 0.002
"""How often PostgreSQL is asked whether somebody who goes on waits for a lock."""

DRAWS_MAX: Final = 20
"""How often a selection may draw an order it has already, for each that it is to have."""


class Stuck(AssertionError):
    """Somebody waits who cannot be woken any more."""


@dataclass
class Order:
    """An order of steps as it is run: first those that `told` names by the letters of their actors, then whatever
    `choose` says (by default the first that can go on). choices: at each step, who could have taken it.
    """

    told: str = ""
    choose: Callable[[Sequence[str]], str] = lambda letters: letters[0]
    taken: str = ""
    choices: list[list[str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def steps_of(self, letter: str) -> list[str]:
        """The steps that an actor has taken, in order."""
        return [line[2:].split(" (")[0] for line in self.lines if line.startswith(letter)]

    def next_of(self, letters: list[str]) -> str:
        at = len(self.taken)
        letter = self.told[at] if at < len(self.told) else self.choose(letters)
        assert letter in letters, f"{self.told}: {letter} cannot take step {at + 1}, only {letters} can:\n{self}"
        self.taken += letter
        self.choices.append(letters)
        return letter

    def __str__(self) -> str:
        return "\n".join(f"  {number:>2}  {line}" for number, line in enumerate(self.lines, 1))

    def successor(self, kept: int) -> str | None:
        """How the next order in the alphabet begins: this one, up to the last step that another could have taken. So
        many steps at the beginning are kept.
        """
        for at in reversed(range(kept, len(self.taken))):
            letters = self.choices[at]
            if later := letters[letters.index(self.taken[at]) + 1 :]:
                return self.taken[:at] + later[0]
        return None


class Schedule:
    """One run of some actors whose tasks have begun."""

    def __init__(
        self, control: asyncpg.Connection, actors: Sequence[Actor], rests: asyncio.Event, inner: InnerGates | None
    ) -> None:
        self._control = control
        self._actors = actors
        self._rests = rests
        self._inner = inner

    async def run(self, order: Order) -> None:
        """Until all have ended. Raises Stuck if nobody can go on any more."""
        await self._come_to_rest()
        while ready := sorted(actor.letter for actor in self._actors if actor.at is not None):
            letter = order.next_of(ready)
            actor = next(each for each in self._actors if each.letter == letter)
            waited = {each.letter for each in self._actors if each.waits_for}
            order.lines.append(f"{letter} {actor.at}")
            await self._let_go(actor)
            await self._come_to_rest()
            if actor.waits_for:
                order.lines[-1] += f" (waits for {', '.join(actor.waits_for)})"
            for each in sorted(waited - {each.letter for each in self._actors if each.waits_for}):
                order.lines[-1] += f" ({each} goes on)"
        waiting = {each.letter: each.waits_for for each in self._actors if each.waits_for}
        if waiting:
            raise Stuck(f"each waits for another: {waiting}")

    async def _let_go(self, actor: Actor) -> None:
        if actor.at is not None and actor.at.startswith("insert:"):
            assert self._inner is not None
            assert actor.pid is not None
            step, actor.at = actor.at, None
            await self._inner.open(actor.pid, step)
        else:
            actor.go_on()

    async def _come_to_rest(self) -> None:
        """Wait until each actor stops before a step, waits for a lock, or has ended."""
        while moving := [actor for actor in self._actors if actor.is_moving]:
            self._rests.clear()
            # It decides nothing how long this is: most steps have ended by then, and need not be asked about.
            timer = asyncio.get_running_loop().call_later(ASKED_EVERY_SECONDS, self._rests.set)
            await self._rests.wait()
            timer.cancel()
            if not all(actor.is_moving for actor in moving):
                continue
            rows = await self._control.fetch(
                "SELECT pid, pg_blocking_pids(pid) AS blockers FROM unnest($1::int[]) AS pid",
                [actor.pid for actor in moving if actor.pid is not None],
            )
            blockers = {row["pid"]: row["blockers"] for row in rows if row["blockers"]}
            if moving != [actor for actor in self._actors if actor.is_moving]:
                continue  # who has stopped or ended since may have been waited for
            if all(actor.pid in blockers for actor in moving):
                break
        for actor in self._actors:
            actor.waits_for = ()
        for actor in moving:
            await self._note_blocked(actor, blockers[actor.pid])

    async def _note_blocked(self, actor: Actor, blockers: Sequence[int]) -> None:
        if self._inner is not None and list(blockers) == [self._inner.pid]:
            assert actor.pid is not None
            actor.at = await self._inner.step_before(actor.pid)
            return
        letters = {each.pid: each.letter for each in self._actors}
        actor.waits_for = sorted({letters.get(pid, f"session {pid}") for pid in blockers})


async def every_order(run: Callable[[Order], Awaitable[None]], begins: str, at_most: int) -> list[Order]:
    """Run each order that is possible and begins so, once; if there are more than `at_most`, one more."""
    orders: list[Order] = []
    told: str | None = begins
    while told is not None and len(orders) <= at_most:
        orders.append(Order(told))
        await run(orders[-1])
        told = orders[-1].successor(len(begins))
    return orders


async def some_orders(run: Callable[[Order], Awaitable[None]], count: int, seed: int) -> list[Order]:
    """Run so many different orders, drawn by a seed."""
    orders: dict[str, Order] = {}
    for order in _draws(count * DRAWS_MAX, seed):
        await run(order)
        orders.setdefault(order.taken, order)
        if len(orders) == count:
            break
    return list(orders.values())


def _draws(count: int, seed: int) -> Iterator[Order]:
    chance = random.Random(seed)
    return (Order(choose=chance.choice) for _ in range(count))
