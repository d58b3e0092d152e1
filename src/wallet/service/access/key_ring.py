"""The keys that this process accepts, and their revocations in the database.

The ring looks a key up once. Then it accepts the key without asking, as long as a poll has said within the last second
that it was not revoked; so every process obeys a revocation within a second. If the database cannot be asked, the ring
accepts no key. All times are real ones, not the ledger's.
"""

import asyncio
import hmac
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from typing import Final, Protocol, TypeAlias
from uuid import UUID

from wallet.errors import Overloaded, RateLimited, StorageUnavailable, Unauthenticated, WalletError
from wallet.service.access.callers import Caller, Scope
from wallet.service.access.keys import KEY
from wallet.service.access.rates import TokenBucket
from wallet.storage.registry.keys import FoundKey, Revoked

POLL_SECONDS: Final = 0.4
FRESH_SECONDS: Final = 1.0
"""How long the result of a poll is valid, counted from when the poll was asked."""
UPKEEP_SECONDS: Final = 30.0
"""How often the kept keys are read again, and their use is recorded."""
KEYS_KEPT_MAX: Final = 10_000
MISSES_KEPT_MAX: Final = 1_000
MISS_SECONDS: Final = 60.0
LOOK_UPS_AT_ONCE: Final = 2
LOOK_UPS_WAITING_MAX: Final = 64
LOOK_UP_SECONDS_MAX: Final = 3.0
CONNECTIONS_MAX: Final = LOOK_UPS_AT_ONCE + 1
"""The connections that a ring uses at once: a poll never waits for look-ups."""

Clock: TypeAlias = Callable[[], float]

# If there is no such key, the secret is compared with this, so that both cases take the same steps.
_NO_HASH: Final = bytes(32)
_REFUSED: Final = "No key that is valid came with the request, as Authorization: Bearer"
_NOT_IN_TIME: Final = "the key could not be looked up in time"

_log = logging.getLogger(__name__)


def digest_of(key: bytes) -> bytes:
    """The ring keeps a key by this, so the time of a look-up discloses nothing about the key."""
    return sha256(key).digest()


class KeySource(Protocol):
    """The store that a ring asks for keys. See storage.registry.keys.KeyStore."""

    async def find(self, prefix: str) -> FoundKey | None: ...
    async def load(self, ids: Sequence[UUID]) -> Sequence[FoundKey]: ...
    async def revoked_since(self, clock: datetime | None) -> Revoked: ...
    async def note_use(self, ids: Sequence[UUID]) -> None: ...


class _Kept:
    """A key that was found. Times are on the ring's clock."""

    __slots__ = ("bucket", "caller", "expires_at", "is_used")

    def __init__(self, caller: Caller, bucket: TokenBucket | None, expires_at: float) -> None:
        self.caller = caller
        self.bucket = bucket
        self.expires_at = expires_at
        self.is_used = False


class KeyRing:
    """The keys of one process. `workers`: how many processes share each key's rate.

    requests_per_second_max: the rate of keys that have none of their own; 0: they have no rate.
    """

    def __init__(
        self,
        *,
        workers: int,
        requests_per_second_max: int,
        now: Clock = time.monotonic,
        time_of_day: Clock = time.time,
        observe_clock: Callable[[float], None] = lambda offset_seconds: None,
    ) -> None:
        self._workers = workers
        self._requests_per_second_max = requests_per_second_max
        self._now = now
        self._time_of_day = time_of_day
        self._observe_clock = observe_clock
        self.clock_offset_seconds = 0.0
        """How far this process's clock is ahead of the database's, as the last poll found; negative: behind."""
        self._kept: dict[bytes, _Kept] = {}
        self._digests: dict[UUID, bytes] = {}
        self._misses: dict[bytes, float] = {}
        self._looking_up: dict[bytes, asyncio.Task[_Kept | None]] = {}
        self._fresh_until = -math.inf
        self._upkeep_at = now() + UPKEEP_SECONDS
        self._clock: datetime | None = None
        self._revoked: Sequence[UUID] = ()
        self._polling: asyncio.Task[None] | None = None
        self._is_trouble_known = False

    def start(self, source: KeySource) -> None:
        """Begin to poll in the background."""
        self.use(source)
        self._polling = asyncio.create_task(self._run(), name="key ring")

    def use(self, source: KeySource) -> None:
        """Ask this source, and poll only when `poll` is called."""
        self._source = source
        self._room = asyncio.Semaphore(LOOK_UPS_AT_ONCE)

    async def close(self) -> None:
        """Stop polling, and record the use of keys."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])
            self._polling = None
            with suppress(WalletError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._note_use()

    # Accepting

    def known(self, key: bytes) -> Caller | None:
        """The caller of a key, if the ring knows it now; otherwise None: await found(). Raises RateLimited."""
        return self.known_by_digest(digest_of(key))

    def known_by_digest(self, digest: bytes) -> Caller | None:
        """The same, if the digest of the key was made before."""
        kept = self._kept.get(digest)
        if kept is None:
            return None
        now = self._now()
        if now >= self._fresh_until or now >= kept.expires_at:
            return None
        return self._let_in(kept, now)

    async def found(self, key: bytes) -> Caller:
        """The caller of a key, according to the database.

        Raises Unauthenticated, RateLimited, StorageUnavailable, and Overloaded when too many others ask.
        """
        parts = KEY.fullmatch(key)
        if parts is None:
            raise Unauthenticated(_REFUSED)
        digest = digest_of(key)
        if self._misses.get(digest, -math.inf) > self._now():
            raise Unauthenticated(_REFUSED)
        look_up = self._looking_up.get(digest)
        if look_up is None:
            # A key that was accepted before does not wait behind wrong keys.
            if digest not in self._kept and len(self._looking_up) >= LOOK_UPS_WAITING_MAX:
                raise Overloaded("too many keys are being looked up")
            look_up = asyncio.create_task(self._look_up(parts[1].decode(), digest))
            self._looking_up[digest] = look_up
            look_up.add_done_callback(lambda done: self._looked_up(digest, done))
        # Others may wait for the look-up, too, so it continues if this caller is gone.
        kept = await asyncio.shield(look_up)
        if kept is None:
            raise Unauthenticated(_REFUSED)
        return self._let_in(kept, self._now())

    async def ensure_still_in(self, caller: Caller) -> None:
        """Raise Unauthenticated if the key of a caller that was accepted before is revoked or has expired since.

        Asks the database only if the last poll is too old. Raises StorageUnavailable.
        """
        if caller.key_id is None:
            return
        digest, now = self._digests.get(caller.key_id), self._now()
        if digest is not None and now < self._fresh_until and now < self._kept[digest].expires_at:
            return
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS_MAX), self._room:
                found = await self._source.load([caller.key_id])
        except TimeoutError:
            raise StorageUnavailable(_NOT_IN_TIME) from None
        if not any(key.is_usable for key in found):
            raise Unauthenticated(_REFUSED)

    def _let_in(self, kept: _Kept, now: float) -> Caller:
        kept.is_used = True
        if kept.bucket is not None and (seconds := kept.bucket.take(now)):
            raise RateLimited(
                f"This key may ask {kept.bucket.per_second:g} times per second here",
                retry_after_seconds=max(1, math.ceil(seconds)),
            )
        return kept.caller

    # Looking up

    async def _look_up(self, prefix: str, digest: bytes) -> _Kept | None:
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS_MAX), self._room:
                asked_at = self._now()
                found = await self._source.find(prefix)
        except TimeoutError:
            raise StorageUnavailable(_NOT_IN_TIME) from None
        is_it = hmac.compare_digest(digest, _NO_HASH if found is None else found.hash)
        # A poll may have found meanwhile a revocation that was not committed when this look-up was asked.
        if found is None or not is_it or not found.is_usable or found.id in self._revoked:
            self._drop(digest)
            self._note_miss(digest)
            return None
        return self._keep(digest, found, asked_at)

    def _looked_up(self, digest: bytes, done: "asyncio.Task[_Kept | None]") -> None:
        del self._looking_up[digest]
        if not done.cancelled():
            done.exception()  # callers that waited have it, and perhaps none waited to the end

    def _keep(self, digest: bytes, found: FoundKey, asked_at: float) -> _Kept:
        expires_in = math.inf if found.expires_in_seconds is None else found.expires_in_seconds
        rate = (found.requests_per_second or self._requests_per_second_max) / self._workers
        kept = self._kept.get(digest)
        if kept is None:
            while len(self._kept) >= KEYS_KEPT_MAX:
                self._drop(next(iter(self._kept)))
            kept = self._kept[digest] = _Kept(_caller(found), None, asked_at + expires_in)
            self._digests[found.id] = digest
        kept.caller, kept.expires_at = _caller(found), asked_at + expires_in
        if kept.bucket is None or kept.bucket.per_second != rate:
            kept.bucket = TokenBucket(rate, self._now()) if rate else None
        return kept

    def _drop(self, digest: bytes) -> None:
        kept = self._kept.pop(digest, None)
        if kept is not None and kept.caller.key_id is not None:
            del self._digests[kept.caller.key_id]

    def _note_miss(self, digest: bytes) -> None:
        # A miss may be remembered: keys are random, so a refused text never becomes a key, and no key is valid again.
        while len(self._misses) >= MISSES_KEPT_MAX:
            del self._misses[next(iter(self._misses))]
        self._misses[digest] = self._now() + MISS_SECONDS

    # Keeping up

    async def poll(self) -> None:
        """Make one poll, and the upkeep when its time has come. Raises StorageUnavailable; then kept keys are valid for
        no longer than before.
        """
        asked_at, earliest = self._now(), self._time_of_day()
        revoked = await self._source.revoked_since(self._clock)
        self._compare_clocks(revoked.now.timestamp(), earliest, self._time_of_day())
        for key_id in revoked.ids:
            if (digest := self._digests.get(key_id)) is not None:
                self._drop(digest)
        self._clock, self._revoked = revoked.now, revoked.ids
        self._fresh_until = asked_at + FRESH_SECONDS
        if asked_at >= self._upkeep_at:
            self._upkeep_at = asked_at + UPKEEP_SECONDS
            await self._read_anew()
            await self._note_use()

    def _compare_clocks(self, database: float, earliest: float, latest: float) -> None:
        """Compare the clocks. The database read its clock between two readings of ours: within these, both agree."""
        self.clock_offset_seconds = max(0.0, earliest - database) + min(0.0, latest - database)
        self._observe_clock(self.clock_offset_seconds)

    async def _run(self) -> None:
        while True:
            try:
                await self.poll()
                self._is_trouble_known = False
            except Exception as error:
                # Errors of every kind: if the polling stopped, all keys would be refused and nobody would know why.
                if not self._is_trouble_known:
                    fault = None if isinstance(error, WalletError) else error
                    _log.warning("keys cannot be polled, so none is let in unasked: %s", error, exc_info=fault)
                    self._is_trouble_known = True
            await asyncio.sleep(POLL_SECONDS)

    async def _read_anew(self) -> None:
        """Read the kept keys again: somebody may have changed them by hand, or revoked one while this process was
        stopped.
        """
        if not self._digests:
            return
        asked_at = self._now()
        found = {key.id: key for key in await self._source.load(list(self._digests))}
        for key_id, digest in list(self._digests.items()):
            key = found.get(key_id)
            if key is not None and key.is_usable and hmac.compare_digest(key.hash, digest):
                self._keep(digest, key, asked_at)
            else:
                self._drop(digest)

    async def _note_use(self) -> None:
        used = {key_id: self._kept[digest] for key_id, digest in self._digests.items() if self._kept[digest].is_used}
        if used:
            await self._source.note_use(list(used))
            for kept in used.values():
                kept.is_used = False


def _caller(key: FoundKey) -> Caller:
    return Caller(
        name=key.name,
        scopes=frozenset(Scope(text) for text in key.scopes),
        origin=key.origin,
        key_id=key.id,
        user_id=key.user_id,
        wallet_ids=None if key.wallet_ids is None else frozenset(key.wallet_ids),
    )
