"""The keys held by one process: let in while the last poll is young, and never when the database cannot be asked."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID, uuid4

import pytest

from wallet.errors import Overloaded, RateLimited, StorageUnavailable, Unauthenticated
from wallet.service.access import key_ring
from wallet.service.access.callers import DEVELOPER, Scope
from wallet.service.access.key_ring import FRESH_SECONDS, LOOK_UPS_WAITING_MAX, UPKEEP_SECONDS, KeyRing
from wallet.service.access.rates import TokenBucket
from wallet.storage.registry.keys import FoundKey, Revoked


def key_text(number: int = 0) -> bytes:
    prefix = "".join(chr(ord("a") + int(digit)) for digit in f"{number:012}")
    return f"wlt_{prefix}_{'A' * 43}".encode()


@dataclass
class Source:
    """A database's keys, which can be made to fail, or to answer only when told to."""

    keys: dict[str, FoundKey] = field(default_factory=dict)
    revoked: list[UUID] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    noted: list[UUID] = field(default_factory=list)
    is_away: bool = False
    gate: asyncio.Event | None = None

    def add(self, text: bytes, **terms: object) -> FoundKey:
        found = FoundKey(uuid4(), "test", sha256(text).digest(), ["read"], "api", None, None, None, False, None)
        found = found._replace(**terms)  # type: ignore[arg-type]
        self.keys[text[4:16].decode()] = found
        return found

    def _answer(self) -> None:
        if self.is_away:
            raise StorageUnavailable("the database is away")

    async def find(self, prefix: str) -> FoundKey | None:
        self.asked.append(prefix)
        found = self.keys.get(prefix)
        if self.gate is not None:
            await self.gate.wait()
        self._answer()
        return found

    async def load(self, ids: Sequence[UUID]) -> Sequence[FoundKey]:
        self._answer()
        return [key for key in self.keys.values() if key.id in ids]

    async def revoked_since(self, clock: datetime | None) -> Revoked:
        self._answer()
        return Revoked(datetime.now(UTC), list(self.revoked))

    async def note_use(self, ids: Sequence[UUID]) -> None:
        self._answer()
        self.noted += ids


class Ring(KeyRing):
    """A ring on a clock that stands still until it is moved."""

    def __init__(self, source: Source, *, workers: int = 1, requests_per_second_max: int = 0) -> None:
        self.time = 1000.0
        self.ahead_seconds = 0.0
        self.offsets: list[float] = []
        super().__init__(
            workers=workers,
            requests_per_second_max=requests_per_second_max,
            now=lambda: self.time,
            time_of_day=lambda: time.time() + self.ahead_seconds,
            observe_clock=self.offsets.append,
        )
        self.use(source)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def ring(source: Source) -> Ring:
    return Ring(source)


async def test_a_key_is_looked_up_once(ring: Ring, source: Source) -> None:
    found = source.add(key_text())
    await ring.poll()
    assert ring.known(key_text()) is None
    caller = await ring.found(key_text())
    assert (caller.key_id, caller.scopes) == (found.id, {Scope.READ})
    assert ring.known(key_text()) is caller
    assert len(source.asked) == 1


async def test_it_counts_only_while_the_last_poll_is_young(ring: Ring, source: Source) -> None:
    source.add(key_text())
    await ring.poll()
    await ring.found(key_text())
    ring.time += FRESH_SECONDS - 0.001
    assert ring.known(key_text()) is not None
    ring.time += 0.001
    assert ring.known(key_text()) is None
    await ring.found(key_text())
    assert len(source.asked) == 2
    await ring.poll()
    assert ring.known(key_text()) is not None


async def test_before_the_first_poll_nobody_is_let_in_unasked(ring: Ring, source: Source) -> None:
    source.add(key_text())
    await ring.found(key_text())
    assert ring.known(key_text()) is None


async def test_when_polls_fail_it_is_asked_and_when_that_fails_nobody_is_let_in(ring: Ring, source: Source) -> None:
    source.add(key_text())
    await ring.poll()
    await ring.found(key_text())
    source.is_away = True
    ring.time += FRESH_SECONDS
    with pytest.raises(StorageUnavailable):
        await ring.poll()
    assert ring.known(key_text()) is None
    with pytest.raises(StorageUnavailable):
        await ring.found(key_text())


async def test_a_poll_that_is_answered_late_counts_from_when_it_was_asked(ring: Ring, source: Source) -> None:
    source.add(key_text())
    await ring.found(key_text())
    polled = source.revoked_since

    async def late(clock: datetime | None) -> Revoked:
        ring.time += FRESH_SECONDS
        return await polled(clock)

    source.revoked_since = late  # type: ignore[method-assign]
    await ring.poll()
    assert ring.known(key_text()) is None


async def test_a_revoked_key_is_dropped_by_the_next_poll(ring: Ring, source: Source) -> None:
    found = source.add(key_text())
    await ring.poll()
    await ring.found(key_text())
    source.add(key_text(), id=found.id, is_revoked=True)
    source.revoked.append(found.id)
    await ring.poll()
    assert ring.known(key_text()) is None
    with pytest.raises(Unauthenticated):
        await ring.found(key_text())


async def test_a_look_up_that_a_revocation_overtook_lets_nobody_in(ring: Ring, source: Source) -> None:
    found = source.add(key_text())
    source.gate = asyncio.Event()
    look_up = asyncio.create_task(ring.found(key_text()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.revoked.append(found.id)
    await ring.poll()
    source.gate.set()
    with pytest.raises(Unauthenticated):
        await look_up


async def test_expiry_is_looked_at_on_each_use(ring: Ring, source: Source) -> None:
    source.add(key_text(), expires_in_seconds=0.5)
    await ring.poll()
    await ring.found(key_text())
    ring.time += 0.4
    assert ring.known(key_text()) is not None
    ring.time += 0.1
    assert ring.known(key_text()) is None


async def test_an_expired_a_revoked_and_an_unknown_key_and_a_wrong_secret_are_refused_alike(
    ring: Ring, source: Source
) -> None:
    source.add(key_text(1), expires_in_seconds=-1.0)
    source.add(key_text(2), is_revoked=True)
    source.add(key_text(4), hash=bytes(32))
    said = set()
    for number in range(1, 5):
        with pytest.raises(Unauthenticated) as refused:
            await ring.found(key_text(number))
        said.add(str(refused.value))
    assert len(said) == 1
    assert len(source.asked) == 4


async def test_what_looks_like_no_key_is_not_asked_for(ring: Ring, source: Source) -> None:
    for text in (b"", b"wlt_", key_text()[:-1], key_text() + b"A", key_text().upper(), key_text() + b"\n"):
        with pytest.raises(Unauthenticated):
            await ring.found(text)
    assert source.asked == []


async def test_a_wrong_key_that_comes_again_is_not_asked_for_again(ring: Ring, source: Source) -> None:
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await ring.found(key_text())
    assert len(source.asked) == 1


async def test_what_is_remembered_has_a_bound(ring: Ring, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "KEYS_KEPT_MAX", 3)
    monkeypatch.setattr(key_ring, "MISSES_KEPT_MAX", 3)
    await ring.poll()
    for number in range(10):
        source.add(key_text(number))
        await ring.found(key_text(number))
        with pytest.raises(Unauthenticated):
            await ring.found(key_text(100 + number))
    assert (len(ring._kept), len(ring._digests), len(ring._misses)) == (3, 3, 3)
    assert ring.known(key_text(9)) is not None


async def test_many_who_bring_one_key_ask_once(ring: Ring, source: Source) -> None:
    source.add(key_text())
    await ring.poll()
    await asyncio.gather(*(ring.found(key_text()) for _ in range(50)))
    assert len(source.asked) == 1


async def test_who_gives_up_waiting_takes_the_answer_from_nobody(ring: Ring, source: Source) -> None:
    source.add(key_text())
    source.gate = asyncio.Event()
    first, second = (asyncio.create_task(ring.found(key_text())) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    assert (await second).name == "test"


async def test_a_flood_of_wrong_keys_waits_in_a_short_line(ring: Ring, source: Source) -> None:
    source.gate = asyncio.Event()
    asking = [asyncio.create_task(ring.found(key_text(number))) for number in range(LOOK_UPS_WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await ring.found(key_text(LOOK_UPS_WAITING_MAX))
    assert len(source.asked) <= key_ring.LOOK_UPS_AT_ONCE
    source.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthenticated}


async def test_who_was_let_in_before_does_not_wait_behind_wrong_keys(ring: Ring, source: Source) -> None:
    source.add(key_text(LOOK_UPS_WAITING_MAX))
    await ring.poll()
    await ring.found(key_text(LOOK_UPS_WAITING_MAX))
    ring.time += FRESH_SECONDS
    source.gate = asyncio.Event()
    wrong = [asyncio.create_task(ring.found(key_text(number))) for number in range(LOOK_UPS_WAITING_MAX)]
    await asyncio.sleep(0)
    known = asyncio.create_task(ring.found(key_text(LOOK_UPS_WAITING_MAX)))
    await asyncio.sleep(0)
    source.gate.set()
    assert (await known).key_id is not None
    await asyncio.gather(*wrong, return_exceptions=True)


async def test_who_stays_is_let_out_when_the_key_ends(ring: Ring, source: Source) -> None:
    revoked = source.add(key_text(1))
    source.add(key_text(2), expires_in_seconds=5.0)
    await ring.poll()
    one, two = await ring.found(key_text(1)), await ring.found(key_text(2))
    for caller in (one, two, DEVELOPER):
        await ring.ensure_still_in(caller)
    source.keys = {text: key for text, key in source.keys.items() if key is not revoked}
    source.add(key_text(1), id=revoked.id, is_revoked=True)
    source.revoked.append(revoked.id)
    await ring.poll()
    with pytest.raises(Unauthenticated):
        await ring.ensure_still_in(one)
    await ring.ensure_still_in(two)
    source.add(key_text(2), id=two.key_id, expires_in_seconds=-0.1)
    ring.time += 5
    await ring.poll()
    with pytest.raises(Unauthenticated):
        await ring.ensure_still_in(two)
    source.is_away = True
    with pytest.raises(StorageUnavailable):
        await ring.ensure_still_in(one)
    await ring.ensure_still_in(DEVELOPER)


async def test_what_was_changed_by_hand_is_read_in_time(ring: Ring, source: Source) -> None:
    found = source.add(key_text())
    await ring.poll()
    await ring.found(key_text())
    source.add(key_text(), id=found.id, scopes=["spend"])
    ring.time += UPKEEP_SECONDS
    await ring.poll()
    caller = ring.known(key_text())
    assert caller is not None
    assert caller.scopes == {Scope.SPEND}
    source.keys.clear()
    ring.time += UPKEEP_SECONDS
    await ring.poll()
    assert ring.known(key_text()) is None


async def test_its_use_is_noted_in_time_and_once(ring: Ring, source: Source) -> None:
    used, unused = source.add(key_text(1)), source.add(key_text(2))
    await ring.poll()
    for number in (1, 2):
        await ring.found(key_text(number))
    ring.time += UPKEEP_SECONDS
    await ring.poll()
    assert set(source.noted) == {used.id, unused.id}
    source.noted.clear()
    assert ring.known(key_text(1)) is not None
    ring.time += UPKEEP_SECONDS
    await ring.poll()
    assert source.noted == [used.id]


async def test_a_use_that_could_not_be_noted_is_noted_later(ring: Ring, source: Source) -> None:
    used = source.add(key_text())
    await ring.poll()
    await ring.found(key_text())

    async def fail(_: Sequence[UUID]) -> None:
        raise StorageUnavailable("not now")

    ring.time += UPKEEP_SECONDS
    noting, source.note_use = source.note_use, fail  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        await ring.poll()
    source.note_use = noting  # type: ignore[method-assign]
    ring.time += UPKEEP_SECONDS
    await ring.poll()
    assert source.noted == [used.id]


async def test_it_goes_on_polling_after_a_fault(ring: Ring, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "POLL_SECONDS", 0)
    source.is_away = True
    ring.start(source)
    await asyncio.sleep(0.01)
    source.is_away = False
    source.add(key_text())
    await ring.found(key_text())
    while ring.known(key_text()) is None:  # noqa: ASYNC110  the ring has no event to wait for
        await asyncio.sleep(0)
    await ring.close()
    assert len(source.noted) == 1


class TestRates:
    async def test_a_second_of_requests_is_let_in_at_once_and_then_as_many_per_second(self, source: Source) -> None:
        ring = Ring(source)
        source.add(key_text(), requests_per_second=10)
        await ring.poll()
        await ring.found(key_text())
        for _ in range(9):
            assert ring.known(key_text()) is not None
        with pytest.raises(RateLimited) as limited:
            ring.known(key_text())
        assert limited.value.retry_after_seconds == 1
        ring.time += 0.2
        assert [ring.known(key_text()) is not None for _ in range(2)] == [True, True]
        with pytest.raises(RateLimited):
            ring.known(key_text())

    async def test_each_worker_lets_its_part_in_and_at_least_one(self, source: Source) -> None:
        ring = Ring(source, workers=4)
        source.add(key_text(), requests_per_second=2)
        await ring.poll()
        await ring.found(key_text())
        with pytest.raises(RateLimited) as limited:
            ring.known(key_text())
        assert limited.value.retry_after_seconds == 2

    async def test_a_key_without_a_rate_has_the_one_of_the_settings(self, source: Source) -> None:
        ring = Ring(source, requests_per_second_max=1)
        source.add(key_text(1))
        source.add(key_text(2), requests_per_second=2)
        await ring.poll()
        for number in (1, 2):
            await ring.found(key_text(number))
        with pytest.raises(RateLimited):
            ring.known(key_text(1))
        assert ring.known(key_text(2)) is not None

    async def test_a_key_that_is_read_anew_keeps_what_it_has_used(self, source: Source) -> None:
        ring = Ring(source)
        source.add(key_text(), requests_per_second=1)
        await ring.found(key_text())
        with pytest.raises(RateLimited):
            await ring.found(key_text())

    def test_a_bucket_holds_no_more_than_its_burst(self) -> None:
        bucket = TokenBucket(3, 0.0)
        assert [bucket.take(1000.0) for _ in range(3)] == [0, 0, 0]
        assert bucket.take(1000.0) == pytest.approx(1 / 3)


@pytest.mark.parametrize("ahead_seconds", [1200, -1200])
async def test_each_poll_compares_the_clocks(ring: Ring, ahead_seconds: int) -> None:
    await ring.poll()
    ring.ahead_seconds = ahead_seconds
    await ring.poll()
    # While a question is under way nobody knows when it was that the database looked at its clock.
    assert [round(offset) for offset in ring.offsets] == [0, ahead_seconds]
    assert round(ring.clock_offset_seconds) == ahead_seconds
