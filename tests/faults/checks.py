"""History, model and database against each other. Each check yields what it finds wrong, in words."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.history import DOUBTFUL, History, Operation, Reading, Try, Verdict
from tests.faults.model import Line, Moment, WalletModel

EXAMPLES_MAX = 10
LOST_FINDS = frozenset({"hold_not_found", "transaction_not_found", "wallet_not_found"})


@dataclass(slots=True)
class Counts:
    """Of the whole run, operations by what became of them."""

    acknowledged: int = 0
    refused: int = 0
    applied_nothing: int = 0
    unknown_applied: int = 0
    unknown_not_applied: int = 0
    refused_then_applied: int = 0
    lost: int = 0
    doubled: int = 0
    refused_and_there: int = 0
    readings: int = 0
    refusals: dict[str, int] = field(default_factory=dict)


class Checker:
    """Keeps the model over the run, and what was left open by earlier looks: its client does not know, so it may
    still come. `overtaken`: some of those that were refused while an earlier try was on its way, which then came.
    """

    def __init__(self, wallets: list[str]) -> None:
        self.models = {wallet: WalletModel(wallet) for wallet in wallets}
        self.counts = Counts()
        self.overtaken: list[str] = []
        self._open: dict[str, Operation] = {}

    def check(self, history: History, lines: list[Line]) -> list[str]:
        """All that is wrong with what happened since the last look. `lines`: the wallets' new ones, in order of wallet
        and version. Nothing may be under way but what nobody waits for any more.
        """
        found: list[str] = []
        asked_now, readings = history.operations, history.readings
        history.operations, history.readings = {}, []
        known = self._open | asked_now
        touched: dict[str, Operation] = {}
        for line in lines:
            operation = known.get(line.reference) if line.origin != "service" else None
            if operation is None and line.origin != "service":
                found.append(f"{line.wallet} version {line.version}: nobody asked for {line.reference}")
                continue
            found += self.models[line.wallet].add(line, operation)
            if operation is not None:
                operation.lines += 1
                operation.transactions.add(line.transaction)
                touched[operation.reference] = operation
        for model in self.models.values():
            found += model.bound()
        answers = {(line.transaction, line.wallet, line.version): line for line in lines}
        for operation in asked_now.values():
            found += self._check_operation(operation, answers)
        for late in touched.keys() - asked_now.keys():
            found += self._check_late(touched[late])
        for reading in readings:
            found += self._check_reading(reading)
        self._open = {name: each for name, each in known.items() if not each.lines and each.is_doubtful}
        for model in self.models.values():
            model.forget()
        return found

    def must_be_absent(self, history: History) -> list[str]:
        """References of which every answer said that nothing was applied."""
        return [
            each.reference
            for each in history.operations.values()
            if all(tried.verdict in (Verdict.REFUSED, Verdict.NOT_NOW) for tried in each.tries)
        ]

    def _check_operation(self, operation: Operation, answers: dict[tuple[str, str, int], Line]) -> Iterator[str]:
        name = f"{operation.kind} {operation.reference}"
        for tried in operation.tries:
            if tried.verdict is Verdict.WRONG:
                yield f"{name}: answered {tried.status} {tried.content}"
        for tried in operation.refusals:
            if not self._is_explained(operation, tried):
                yield f"{name}: refused without a reason at any moment of it: {tried.content}"
        yield from self._check_lines(operation)
        if operation.acknowledgements:
            self.counts.acknowledged += 1
            yield from self._check_acknowledged(name, operation, answers)
        elif operation.lines:
            yield from self._check_applied_unheard(name, operation)
        elif operation.refusals:
            self.counts.refused += 1
        elif operation.is_doubtful:
            self.counts.unknown_not_applied += 1
        else:
            self.counts.applied_nothing += 1

    def _check_late(self, operation: Operation) -> Iterator[str]:
        """It was counted as not there by an earlier look, when it was still on its way."""
        if operation.refusals:
            self.counts.refused -= 1
        else:
            self.counts.unknown_not_applied -= 1
        yield from self._check_lines(operation)
        yield from self._check_applied_unheard(f"{operation.kind} {operation.reference}", operation)

    def _check_lines(self, operation: Operation) -> Iterator[str]:
        if operation.lines not in (0, operation.lines_expected) or len(operation.transactions) > 1:
            self.counts.doubled += 1
            yield (
                f"{operation.kind} {operation.reference}: it made {operation.lines} lines of "
                f"{operation.lines_expected}: {operation.transactions}"
            )

    def _check_acknowledged(
        self, name: str, operation: Operation, answers: dict[tuple[str, str, int], Line]
    ) -> Iterator[str]:
        if not operation.lines:
            self.counts.lost += 1
            yield f"{name}: acknowledged, and not there"
        first, *others = operation.acknowledgements
        if any(each.content != first.content for each in others):
            yield f"{name}: two answers that differ: {[each.content for each in operation.acknowledgements]}"
        if sum(each.status == 201 for each in operation.acknowledgements) > 1:
            yield f"{name}: two answers say that they were the first"
        if not any(each.status == 201 or each.verdict in DOUBTFUL for each in operation.tries):
            yield f"{name}: answered as a replay, and no try before it may have been applied"
        for entry in first.content.get("entries", ()):
            if entry["wallet_id"] not in self.models:
                continue
            line = answers.get((first.content["id"], entry["wallet_id"], entry["version"]))
            change = entry["amount"] * (1 if entry["direction"] == "credit" else -1)
            if line is None or line.is_step or (line.change, line.after) != (change, entry["balance_after"]):
                yield f"{name}: answered {entry}, and the line is {line}"
        # A void answers with the hold, whose id is that of the transaction that placed it.
        names_hold = operation.kind == "void" and operation.on is not None and operation.on.id == first.content["id"]
        if operation.transactions - {first.content["id"]} and not names_hold:
            yield f"{name}: answered as {first.content['id']}, and it is {operation.transactions}"

    def _check_applied_unheard(self, name: str, operation: Operation) -> Iterator[str]:
        verdicts = {each.verdict for each in operation.tries}
        if not operation.is_doubtful:
            self.counts.refused_and_there += 1
            yield f"{name}: every answer said that nothing was applied ({verdicts}), and it is there"
        elif operation.refusals:
            self.counts.refused_then_applied += 1
            if len(self.overtaken) < EXAMPLES_MAX:
                tries = [(each.verdict.value, each.answered_at - each.asked_at) for each in operation.tries]
                self.overtaken.append(f"{name}: {tries}")
            if Verdict.NO_ANSWER not in verdicts:
                yield f"{name}: refused after its outcome was said to be unknown, and it is there"
        else:
            self.counts.unknown_applied += 1

    def _is_explained(self, operation: Operation, tried: Try) -> bool:
        """Whether there was a moment within the try at which this refusal was the truth."""
        code = str(tried.content.get("code"))
        self.counts.refusals[code] = self.counts.refusals.get(code, 0) + 1
        available: int = tried.content.get("available", -1)
        required: int = tried.content.get("required", -1)
        if code == "insufficient_funds":
            model = self.models.get(tried.content.get("wallet_id", ""))
            return (
                model is not None
                and required == operation.amount
                and any(each.available == available < required for each in _during(model, tried))
            )
        target = operation.on
        if target is None or code in LOST_FINDS:
            return False
        model = self.models[target.wallet]
        if code == "refund_exceeds_original":
            left = model.left_of(target.id, target.amount)
            return any(
                left.at(each.version) == available and available < (operation.amount or 0)
                for each in _during(model, tried)
            )
        hold = model.holds.get(target.id)
        if hold is None:
            return False
        lefts = [hold.at(each.version) for each in _during(model, tried)]
        if code == "hold_closed":
            return 0 in lefts
        return code == "capture_exceeds_hold" and available in lefts and available < (operation.amount or 0)

    def _check_reading(self, reading: Reading) -> Iterator[str]:
        self.counts.readings += 1
        model = self.models[reading.wallet]
        if not any(
            (each.version, each.balance, each.held) == (reading.version, reading.balance, reading.held)
            for each in model.during(reading.asked_at, reading.answered_at)
        ):
            yield f"a balance that was not so at any moment of the reading: {reading}"


def _during(model: WalletModel, tried: Try) -> Iterator[Moment]:
    return model.during(tried.asked_at, tried.answered_at)
