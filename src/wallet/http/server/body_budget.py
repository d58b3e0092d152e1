"""The memory that bodies may take while they arrive, charged to the key that they come with."""

from collections.abc import Iterable
from typing import Final, Protocol

BODIES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of all unfinished bodies of this process. Beyond it, the key that holds most gives up its largest body."""

KEY_BYTES_MAX: Final = BODIES_BYTES_MAX // 2
"""Of the unfinished bodies that came with one key, or without any. Beyond it, the body that comes next is refused."""


class Holder(Protocol):
    """A connection on which a body arrives."""

    def give_up_body(self) -> None:
        """Refuse the request under way and free its body."""


class Charge:
    """What one connection pays for the body that arrives on it."""

    __slots__ = ("_budget", "_holder", "_key")

    def __init__(self, budget: "BodyBudget", holder: Holder) -> None:
        self._budget = budget
        self._holder = holder
        # Under which key the current body counts, once it does.
        self._key: bytes | None = None

    def pay(self, headers: Iterable[tuple[bytes, bytes]], held_bytes: int) -> None:
        """Say how much is held now of a body that goes on in the next piece; `headers`: those it came with."""
        if self._key is None:
            authorization = next((value for name, value in headers if name == b"authorization"), b"")
            self._key = authorization.rpartition(b" ")[2]
        self._budget.charge(self._key, self._holder, held_bytes)

    def end(self) -> None:
        """What has arrived of the body no longer counts: it is whole, answered, refused or given up."""
        if self._key is not None:
            self._budget.release(self._key, self._holder)
            self._key = None


class BodyBudget:
    """Counts the bytes of unfinished bodies by key, and decides which body is refused where they are too many.

    A request pays for its own key first, so one key cannot make the requests of others be refused. Nothing of a body
    counts that arrived whole, or that was answered.
    """

    def __init__(self, *, bytes_max: int = BODIES_BYTES_MAX, key_bytes_max: int = KEY_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._key_bytes_max = key_bytes_max
        self._held: dict[bytes, dict[Holder, int]] = {}
        self._sums: dict[bytes, int] = {}
        self.total = 0

    def charge(self, key: bytes, holder: Holder, held_bytes: int) -> None:
        """Say how much a connection holds now of its body. May call `give_up_body`, of this holder or another."""
        self._set(key, holder, held_bytes)
        if self._sums.get(key, 0) > self._key_bytes_max:
            holder.give_up_body()
        elif self.total > self._bytes_max:
            of_key = self._held[max(self._sums, key=self._sums.__getitem__)]
            max(of_key, key=of_key.__getitem__).give_up_body()

    def release(self, key: bytes, holder: Holder) -> None:
        """The body is whole, refused or given up."""
        self._set(key, holder, 0)

    def _set(self, key: bytes, holder: Holder, held_bytes: int) -> None:
        of_key = self._held.setdefault(key, {})
        change = held_bytes - of_key.pop(holder, 0)
        self.total += change
        self._sums[key] = self._sums.get(key, 0) + change
        if held_bytes:
            of_key[holder] = held_bytes
        elif not of_key:
            del self._held[key], self._sums[key]
