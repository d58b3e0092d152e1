"""Wrong codes of claims: how many a caller may send, and what of them is remembered."""

from collections import Counter
from uuid import UUID, uuid4

import pytest

from wallet.errors import RateLimited
from wallet.service.access.callers import DEVELOPER, Caller, Scope
from wallet.service.access.guesses import BOUND_AT_ONCE, BOUND_PER_SECOND, UNBOUND_AT_ONCE, Guesses
from wallet.service.claims import hash_of, new_code

SPEND = frozenset({Scope.SPEND})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def of_user(user_id: UUID) -> Caller:
    return Caller("device", SPEND, origin=str(user_id), key_id=uuid4(), user_id=user_id)


def of_back_end() -> Caller:
    return Caller("shop", SPEND, key_id=uuid4())


def may_try(guesses: Guesses, caller: Caller) -> bool:
    try:
        guesses.ensure_may_try(caller)
    except RateLimited:
        return False
    return True


def wrong_until_stopped(guesses: Guesses, caller: Caller, most: int = 1000) -> int:
    for number in range(most):
        if not may_try(guesses, caller):
            return number
        guesses.note_wrong(caller)
    return most


def test_a_user_may_be_wrong_so_often_with_all_its_keys_together() -> None:
    guesses, user = Guesses(now=Clock()), uuid4()
    assert wrong_until_stopped(guesses, of_user(user)) == BOUND_AT_ONCE
    assert not may_try(guesses, of_user(user)), "another key of the user"
    assert may_try(guesses, of_user(uuid4())), "another user"


def test_a_key_of_a_back_end_may_be_wrong_more_often() -> None:
    guesses = Guesses(now=Clock())
    assert wrong_until_stopped(guesses, of_back_end()) == UNBOUND_AT_ONCE
    assert may_try(guesses, of_back_end()), "another key"


def test_one_more_is_let_in_when_it_is_said() -> None:
    clock = Clock()
    guesses, caller = Guesses(now=clock), of_user(uuid4())
    wrong_until_stopped(guesses, caller)
    with pytest.raises(RateLimited) as limited:
        guesses.ensure_may_try(caller)
    assert limited.value.retry_after_seconds == 1 / BOUND_PER_SECOND
    clock.now += limited.value.retry_after_seconds - 0.01
    assert not may_try(guesses, caller)
    clock.now += 0.02
    assert wrong_until_stopped(guesses, caller) == 1
    clock.now += 3600
    assert wrong_until_stopped(guesses, caller) == BOUND_AT_ONCE


def test_what_was_on_its_way_at_once_is_charged_all_the_same() -> None:
    clock = Clock()
    guesses, caller = Guesses(now=clock), of_user(uuid4())
    for _ in range(1000):
        guesses.note_wrong(caller)
    with pytest.raises(RateLimited) as limited:
        guesses.ensure_may_try(caller)
    assert limited.value.retry_after_seconds == pytest.approx((1000 - BOUND_AT_ONCE + 1) / BOUND_PER_SECOND, abs=1)


def test_each_process_lets_in_its_part() -> None:
    guesses = Guesses(workers=5, now=Clock())
    assert wrong_until_stopped(guesses, of_user(uuid4())) == BOUND_AT_ONCE // 5
    assert wrong_until_stopped(Guesses(workers=99, now=Clock()), of_user(uuid4())) == 1


def test_only_so_many_are_remembered_those_that_were_wrong_last() -> None:
    guesses = Guesses(now=Clock(), subjects_kept_max=3)
    callers = [of_user(uuid4()) for _ in range(5)]
    for caller in callers:
        wrong_until_stopped(guesses, caller)
    assert [may_try(guesses, caller) for caller in callers] == [True, True, False, False, False]


def test_nobody_is_counted_without_a_key() -> None:
    assert wrong_until_stopped(Guesses(now=Clock()), DEVELOPER) == 1000


# Codes


def test_a_code_has_125_bits_of_which_each_is_as_likely() -> None:
    codes = [new_code() for _ in range(2000)]
    assert len(set(codes)) == 2000
    assert {len(code) for code in codes} == {5 * 5 + 4}
    letters = Counter("".join(codes).replace("-", ""))
    assert len(letters) == 32
    # 50,000 letters: 1,562 of each, give or take 39.
    assert all(1300 < count < 1830 for count in letters.values()), letters


def test_a_code_is_the_same_in_every_spelling_and_no_other_is() -> None:
    code = new_code()
    assert hash_of(code.lower()) == hash_of(code.replace("-", " ")) == hash_of(code)
    assert hash_of("0123456789") == hash_of("oi23456789") == hash_of("OL23456789")
    assert hash_of("ABCDE") != hash_of("ABCDF")
    assert hash_of("U") != hash_of("V")
    assert len(hash_of("\ud800")) == 32
