"""Whether the ledger and the oracle say the same: their answers and what they then know, in one form."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from tests.ledger.oracle.books import merged
from tests.ledger.oracle.effects import Answer
from tests.ledger.oracle.oracle import Oracle
from tests.ledger.scripts import every_wallet_settled
from tests.ledger.worlds import World, named
from wallet.ledger.batch import Decision
from wallet.ledger.model import Hold, Lot, LotId, Posted, WalletId
from wallet.ledger.outcomes import Grouped, Outcome, Refused, Settled
from wallet.ledger.requests import Request


class Pair:
    """The ledger and the oracle side by side, in one world."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.oracle = Oracle(here.wallets, here.assets, here.policies, here.bounds, here.users)
        for key, attachment in here.attachments.items():
            self.oracle.books.attached[key] = attachment.period

    def decide(self, *batch: Request, checks_states: bool = True) -> Decision:
        """The ledger's decision. Fails where the oracle thinks otherwise."""
        decision = self.here.decide(*batch)
        assert replace(self.here, is_thrifty=True).decide(*batch) == decision, "what is loaded makes a difference"
        self.here = self.here.left_by(decision)
        self._learn(decision.posted)
        names = lot_names([*self.here.history, *in_answers(decision.outcomes)])
        self.oracle.books.lot_ids = {name: id_ for id_, name in names.items()}
        expected = [self.oracle.decide(request, self.here.now) for request in batch]
        for request, outcome, answer in zip(batch, decision.outcomes, expected, strict=True):
            got = as_answer(outcome, names, self.here)
            answer = blurred(answer, got)
            assert got == answer, differing(got, answer, request)
        if checks_states:
            self.check_states()
        return decision

    def wait(self, seconds: int) -> None:
        self.here = self.here.at(self.here.now + timedelta(seconds=seconds))

    def check_states(self) -> None:
        """The state of every wallet once everything due has been posted."""
        settled = every_wallet_settled(self.here)
        self.oracle.advance(self.here.now)
        names = lot_names(settled.history)
        for id_, state in settled.wallets.items():
            if state.locked:
                got, expected = wallet_view(settled, id_, names), self.oracle.wallet_view(id_)
                assert got == expected, differing(got, expected, id_)

    def lot_names(self) -> dict[LotId, str]:
        return lot_names(self.here.history)

    def _learn(self, posted: Sequence[Posted]) -> None:
        for each in posted:
            reference = each.reference_id
            if reference.startswith("lot:"):
                _, id_, rest = reference.split(":", 2)
                name = next((name for lot, name in self.lot_names().items() if str(lot) == id_), id_)
                reference = f"lot:{name}:{rest}"
            self.oracle.alias[each.id] = (each.origin, reference)


def in_answers(outcomes: Iterable[Outcome]) -> Iterator[Posted]:
    for outcome in outcomes:
        if isinstance(outcome, Grouped):
            yield from in_answers(outcome.outcomes)
        elif not isinstance(outcome, Refused | Settled):
            yield outcome.posted


def lot_names(history: Sequence[Posted]) -> dict[LotId, str]:
    """Lots by the reference that opened them and their place among those it opened."""
    return {
        lot: f"{posted.reference_id}/{place}"
        for posted in history
        if posted.details is not None
        for place, lot in enumerate(posted.details.opened)
    }


def blurred(answer: Answer, got: Answer) -> Answer:
    """The oracle's answer without what cannot be compared: the terms of lots that were opened in thought only."""
    if "items" in answer and "items" in got:
        return {"items": [blurred(*each) for each in zip(answer["items"], got["items"], strict=True)]}
    if len(answer.get("opened", [])) != len(got.get("opened", [])):
        return answer
    if "opened" not in answer or "opened" not in got:
        return answer
    opened = [other and lot for lot, other in zip(answer["opened"], got["opened"], strict=True)]
    return {**answer, "opened": opened}


def differing(got: Answer, expected: Answer, about: object) -> str:
    """The differences between two answers."""
    if "items" in got and "items" in expected:
        pairs = zip(got["items"], expected["items"], strict=True)
        return "\n".join(differing(*pair, f"item {at}") for at, pair in enumerate(pairs) if pair[0] != pair[1])
    names = [name for name in {**got, **expected} if got.get(name) != expected.get(name)]
    told = [f"  {name}: the ledger says {got.get(name)}, the oracle {expected.get(name)}" for name in names]
    return readable("\n".join([str(about), *told]))


def readable(text: str) -> str:
    """Ids as the names they were made of."""
    return re.sub(r"(?:UUID\(')?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:'\))?", _name, text)


def _name(match: re.Match[str]) -> str:
    id_ = UUID(match[1])
    text = id_.bytes.rstrip(b"\0")
    return text.decode() if text.isascii() and text.decode().isprintable() else str(id_)[-6:]


def as_answer(outcome: Outcome, names: dict[LotId, str], here: World) -> Answer:
    """An outcome as the oracle gives it."""
    if isinstance(outcome, Grouped):
        return {"items": [as_answer(each, names, here) for each in outcome.outcomes]}
    if isinstance(outcome, Settled):
        return {"outcome": "settled"}
    if isinstance(outcome, Refused):
        return {
            "refused": outcome.code.value,
            "wallet": outcome.wallet_id,
            "available": outcome.available,
            "required": outcome.required,
        }
    return {"outcome": named(outcome), **posted_view(outcome.posted, names, here)}


def posted_view(posted: Posted, names: dict[LotId, str], here: World) -> Answer:
    if posted.type in ("change", "close", "reopen"):
        return {"type": posted.type, "id": posted.id, "entries": list(posted.entries)}
    details = posted.details
    opened = [here.lots.get(id_) for id_ in details.opened] if details else []
    return {
        "type": posted.type,
        "id": posted.id,
        "at": posted.created_at,
        "effective": posted.effective_at,
        "entries": [
            (entry.wallet_id, entry.direction, entry.amount, entry.version, entry.balance_after)
            for entry in posted.entries
        ],
        "drawn": [(drawn.wallet_id, names.get(drawn.lot_id), drawn.amount) for drawn in details.drawn]
        if details
        else [],
        "opened": [lot and lot_view(lot) for lot in opened],
        "joined": [(names.get(each.lot_id), each.amount) for each in details.joined] if details else [],
        "hold": hold_view(details.hold, names) if details and details.hold else None,
        "refund_of": posted.refund_of,
        "requested": details.requested_amount if details else None,
        "forfeited": details.forfeited if details else None,
        "is_skipped": bool(details and details.skipped),
    }


def lot_view(lot: Lot) -> Answer:
    return {
        "category": lot.category.value,
        "priority": lot.priority,
        "expires_at": lot.expires_at,
        "amount": lot.amount,
        "programme": lot.programme_id,
    }


def hold_view(hold: Hold, names: dict[LotId, str]) -> Answer:
    return {
        "id": hold.id, "wallet": hold.wallet_id, "amount": hold.amount, "captured": hold.captured,
        "released": hold.released, "status": hold.status.value, "expires_at": hold.expires_at,
        "slices": merged([(names[each.lot_id] if each.lot_id else None, each.amount) for each in hold.slices]),
        "claim": hold.claim and hold.claim[:3],
    }  # fmt: skip


def wallet_view(here: World, id_: WalletId, names: dict[LotId, str]) -> Answer:
    state = here.wallets[id_]
    return {
        "balance": state.balance,
        "held": state.held,
        "version": state.version,
        "lots": {
            names[lot.id]: (lot.remaining, lot.held)
            for lot in here.lots.values()
            if lot.wallet_id == id_ and lot.remaining
        },
        "closed": state.standing.closed,
        "merged_into": state.standing.merged_into,
    }
