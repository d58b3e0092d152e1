"""Bounds the memory of request bodies that are still arriving, and charges it to the key of each request."""

from collections.abc import Iterable
from typing import Final, Protocol

BODIES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bound of all unfinished bodies of this process. Beyond it, the largest body of the key that holds most is refused."""

KEY_BYTES_MAX: Final = BODIES_BYTES_MAX // 2
"""Bound of the unfinished bodies that came with one key, or with none. Beyond it, the body that grows is refused."""


class Holder(Protocol):
    """A connection on which a body is arriving."""

    def give_up_body(self) -> None:
        """Refuse the request whose body is arriving, and free the body."""


class Charge:
    """Charges the body that arrives on one connection."""

    __slots__ = ("_budget", "_holder", "_key")

    def __init__(self, budget: "BodyBudget", holder: Holder) -> None:
        self._budget = budget
        self._holder = holder
        # The key that the current body is charged to; None while nothing is charged.
        self._key: bytes | None = None

    def pay(self, headers: Iterable[tuple[bytes, bytes]], held_bytes: int) -> None:
        """Charge the bytes held now of a body that goes on in the next piece. `headers` are those of its request."""
        if self._key is None:
            authorization = next((value for name, value in headers if name == b"authorization"), b"")
            self._key = authorization.rpartition(b" ")[2]
        self._budget.charge(self._key, self._holder, held_bytes)

    def end(self) -> None:
        """Stop charging the current body, because it is complete, answered, refused or given up."""
        if self._key is not None:
            self._budget.release(self._key, self._holder)
            self._key = None

    def close(self) -> None:
        """The connection is lost. Without this, charge and connection would keep each other in memory."""
        self.end()
        del self._holder


class BodyBudget:
    """Counts the bytes of unfinished bodies by key, and decides which body is refused if they are too many.

    The bound of each key comes first, so that one key cannot make the service refuse the requests of others. A body
    counts until it is complete or its request is answered.
    """

    def __init__(self, *, bytes_max: int = BODIES_BYTES_MAX, key_bytes_max: int = KEY_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._key_bytes_max = key_bytes_max
        self._kept: dict[bytes, dict[Holder, int]] = {}
        self._sums: dict[bytes, int] = {}
        self.total = 0

    def charge(self, key: bytes, holder: Holder, kept_bytes: int) -> None:
        """Note how many bytes of its body a connection holds now. May call `give_up_body` of this or another holder."""
        self._set(key, holder, kept_bytes)
        if self._sums.get(key, 0) > self._key_bytes_max:
            holder.give_up_body()
        elif self.total > self._bytes_max:
            of_key = self._kept[max(self._sums, key=self._sums.__getitem__)]
            max(of_key, key=of_key.__getitem__).give_up_body()

    def release(self, key: bytes, holder: Holder) -> None:
        """Stop counting a body, because it is complete, refused or given up."""
        self._set(key, holder, 0)

    def _set(self, key: bytes, holder: Holder, kept_bytes: int) -> None:
        of_key = self._kept.setdefault(key, {})
        change = kept_bytes - of_key.pop(holder, 0)
        self.total += change
        self._sums[key] = self._sums.get(key, 0) + change
        if kept_bytes:
            of_key[holder] = kept_bytes
        elif not of_key:
            del self._kept[key], self._sums[key]
