"""The checks find what they are there for: they are shown a history in order, and the same one with a lie in it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.faults.checks import Checker
from tests.faults.history import History, Operation, Reading, Target, Try, Verdict
from tests.faults.model import Line

HOLD = Target("tx-3", "hold", "a", None, 30)
ORIGINAL = Target("tx-2", "transfer", "a", "b", 40)


@dataclass
class Story:
    """Wallet a is topped up with 100, sends 40 to b and reserves 30; 10 of these are captured, and 5 come back."""

    operations: dict[str, Operation]
    lines: list[Line]
    readings: list[Reading]

    def found(self) -> list[str]:
        return Checker(["a", "b"]).check(History(dict(self.operations), list(self.readings)), self.lines)

    def change_line(self, index: int, **fields: Any) -> None:
        self.lines[index] = self.lines[index]._replace(**fields)

    def answer_again(self, reference: str, verdict: Verdict, at: float, **fields: Any) -> None:
        tried = Try(at, at + 0.5, verdict, fields.pop("status", 200), fields)
        self.operations[reference].tries.append(tried)


def acknowledged(number: int, *entries: tuple[str, int, int, int]) -> Try:
    """At second `number`. Entries: wallet, change, balance after, version."""
    content = {
        "id": f"tx-{number}",
        "entries": [
            {
                "wallet_id": wallet,
                "direction": "credit" if change > 0 else "debit",
                "amount": abs(change),
                "balance_after": after,
                "version": version,
            }
            for wallet, change, after, version in entries
        ],
    }
    return Try(number, number + 0.5, Verdict.ACKNOWLEDGED, 201, content)


def asked(number: int, kind: str, amount: int | None, tried: Try, **fields: Any) -> Operation:
    return Operation(f"r{number}", kind, "a", "/", {}, amount=amount, tries=[tried], **fields)


def line(number: int, wallet: str, version: int, change: int, after: int, step: str = "", **fields: Any) -> Line:
    hold = "tx-3" if step else None
    made = Line(wallet, version, bool(step), change, after, step, 0, 0, hold, f"tx-{number}", "api", f"r{number}")
    return made._replace(**fields)


@pytest.fixture
def story() -> Story:
    refused = Verdict.REFUSED
    operations = [
        asked(1, "topup", 100, acknowledged(1, ("a", 100, 100, 1))),
        asked(2, "transfer", 40, acknowledged(2, ("a", -40, 60, 2), ("b", 40, 40, 1)), other="b"),
        asked(3, "hold", 30, acknowledged(3)),
        asked(4, "capture", 10, acknowledged(4, ("a", -10, 50, 5)), on=HOLD),
        asked(5, "refund", 5, acknowledged(5, ("b", -5, 35, 2), ("a", 5, 55, 6)), on=ORIGINAL),
        asked(6, "spend", 36, Try(6, 6.5, refused, 422, refusal("insufficient_funds", 35, 36))),
        asked(7, "refund", 36, Try(7, 7.5, refused, 422, refusal("refund_exceeds_original", 35, 36)), on=ORIGINAL),
        asked(8, "capture", 21, Try(8, 8.5, refused, 422, refusal("capture_exceeds_hold", 20, 21)), on=HOLD),
        asked(9, "topup", 1, Try(9, 9.5, Verdict.NO_ANSWER)),
    ]  # fmt: skip
    lines = [
        line(1, "a", 1, 100, 100),
        line(2, "a", 2, -40, 60),
        line(3, "a", 3, 30, 30, "place"),
        line(4, "a", 4, -10, 20, "capture"),
        line(4, "a", 5, -10, 50),
        line(5, "a", 6, 5, 55),
        line(2, "b", 1, 40, 40),
        line(5, "b", 2, -5, 35),
    ]
    return Story({each.reference: each for each in operations}, lines, [Reading(4.6, 4.7, "a", 5, 50, 20)])


def refusal(code: str, available: int, required: int) -> dict[str, Any]:
    return {"code": code, "wallet_id": "a", "available": available, "required": required}


def test_a_history_in_order_is_in_order(story: Story) -> None:
    assert story.found() == []


def test_an_unknown_one_may_be_there_and_come_late(story: Story) -> None:
    checker = Checker(["a", "b"])
    assert checker.check(History(dict(story.operations), []), story.lines) == []
    assert checker.check(History(), [line(9, "a", 7, 1, 56)]) == []
    assert (checker.counts.unknown_applied, checker.counts.unknown_not_applied) == (1, 0)


def test_what_expires_is_the_services_doing(story: Story) -> None:
    story.lines.insert(6, line(0, "a", 7, -20, 0, "expire", origin="service"))
    assert story.found() == []


def lose_a_line(story: Story) -> None:
    del story.lines[5]


def lose_the_last_of_a_wallet(story: Story) -> None:
    del story.lines[6:]


def lose_a_movement(story: Story) -> None:
    story.operations["r10"] = asked(10, "topup", 1, acknowledged(10, ("a", 1, 56, 7)))


def double_a_movement(story: Story) -> None:
    story.lines.insert(6, line(1, "a", 7, 100, 155, transaction="tx-1b"))


def leave_a_gap(story: Story) -> None:
    story.change_line(7, version=3)


def move_another_amount(story: Story) -> None:
    story.change_line(7, change=-6, after=34)


def keep_another_sum(story: Story) -> None:
    story.change_line(1, after=61)


def answer_another_balance(story: Story) -> None:
    story.operations["r1"].tries[0].content["entries"][0]["balance_after"] = 99


def answer_another_version(story: Story) -> None:
    story.operations["r2"].tries[0].content["entries"][1]["version"] = 2


def answer_another_id(story: Story) -> None:
    story.operations["r3"].tries[0].content["id"] = "tx-9"


def answer_twice_as_the_first(story: Story) -> None:
    story.answer_again("r3", Verdict.ACKNOWLEDGED, 3, status=201, **story.operations["r3"].tries[0].content)


def replay_what_was_never_made(story: Story) -> None:
    story.operations["r3"].tries[0].status = 200
    story.operations["r3"].tries.insert(0, Try(2.5, 2.6, Verdict.NOT_NOW, 503))


def answer_otherwise_the_second_time(story: Story) -> None:
    story.answer_again("r3", Verdict.ACKNOWLEDGED, 3, id="tx-3", entries=[], more=1)


def answer_with_a_fault(story: Story) -> None:
    story.answer_again("r9", Verdict.WRONG, 9, status=500)


def apply_what_was_refused(story: Story) -> None:
    story.lines.insert(6, line(6, "a", 7, -36, 19))


def apply_what_was_said_not_to_be(story: Story) -> None:
    story.operations["r9"].tries[0].verdict = Verdict.NOT_NOW
    story.lines.insert(6, line(9, "a", 7, 1, 56))


def apply_what_was_refused_after_all(story: Story) -> None:
    story.answer_again("r6", Verdict.UNKNOWN, 5.6, status=503)
    story.lines.insert(6, line(6, "a", 7, -36, 19))


def apply_what_nobody_asked_for(story: Story) -> None:
    story.lines.insert(6, line(77, "a", 7, 1, 56))


def refuse_what_could_be_afforded(story: Story) -> None:
    story.operations["r6"].tries[0].content["available"] = 34


def refuse_by_what_was_true_long_ago(story: Story) -> None:
    story.operations["r6"].tries[0].content["available"] = 20
    story.operations["r6"].tries[0].asked_at = 5.6


def refuse_a_refund_that_was_left(story: Story) -> None:
    story.operations["r7"].tries[0].content["available"] = 34


def refuse_a_capture_of_an_open_hold(story: Story) -> None:
    story.operations["r8"].tries[0].content["code"] = "hold_closed"


def lose_a_hold(story: Story) -> None:
    story.operations["r8"].tries[0].content["code"] = "hold_not_found"


def post_later_what_was_answered_earlier(story: Story) -> None:
    for at, tried in ((3.1, story.operations["r2"].tries[0]), (0.5, story.operations["r3"].tries[0])):
        tried.asked_at, tried.answered_at = at, at + 0.1


def read_what_was_true_before(story: Story) -> None:
    story.readings[0] = replace(story.readings[0], asked_at=6.0, answered_at=6.5)


def read_what_is_only_true_later(story: Story) -> None:
    story.readings[0] = replace(story.readings[0], asked_at=3.6, answered_at=3.9)


def read_what_never_was(story: Story) -> None:
    story.readings[0] = replace(story.readings[0], held=21)


LIES: dict[Callable[[Story], None], str] = {
    lose_a_line: "it made 1 lines of 2",
    lose_the_last_of_a_wallet: "it made 1 lines of 2",
    lose_a_movement: "acknowledged, and not there",
    double_a_movement: "it made 2 lines of 1",
    leave_a_gap: "it follows version 1",
    move_another_amount: "what was asked for changes it by -5",
    keep_another_sum: "the sum so far is 60",
    answer_another_balance: "and the line is",
    answer_another_version: "and the line is",
    answer_another_id: "answered as tx-9",
    answer_twice_as_the_first: "they were the first",
    replay_what_was_never_made: "no try before it may have been applied",
    answer_otherwise_the_second_time: "two answers that differ",
    answer_with_a_fault: "answered 500",
    apply_what_was_refused: "every answer said that nothing was applied",
    apply_what_was_said_not_to_be: "every answer said that nothing was applied",
    apply_what_was_refused_after_all: "refused after its outcome was said to be unknown",
    apply_what_nobody_asked_for: "nobody asked for",
    refuse_what_could_be_afforded: "refused without a reason",
    refuse_by_what_was_true_long_ago: "refused without a reason",
    refuse_a_refund_that_was_left: "refused without a reason",
    refuse_a_capture_of_an_open_hold: "refused without a reason",
    lose_a_hold: "refused without a reason",
    post_later_what_was_answered_earlier: "what came later was answered earlier",
    read_what_was_true_before: "a balance that was not so",
    read_what_is_only_true_later: "a balance that was not so",
    read_what_never_was: "a balance that was not so",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_one_lie_is_found(lie: Callable[[Story], None], story: Story) -> None:
    lie(story)
    assert any(LIES[lie] in each for each in story.found()), story.found()
