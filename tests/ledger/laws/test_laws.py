"""Laws for any batch on any states (ledger.md, "Laws that always hold")."""

from collections import Counter
from itertools import pairwise

from hypothesis import event, given
from hypothesis import strategies as st

from tests.ledger.laws.fixed_seeds import tried_until
from tests.ledger.oracle.agreement import as_answer
from tests.ledger.oracle.oracle import Oracle
from tests.ledger.rules.test_refusals import ORDINARY_CODES
from tests.ledger.strategies import LAWS, batches, worlds
from tests.ledger.worlds import NOTHING, World, named, tried_again
from wallet.ledger.batch import Decision
from wallet.ledger.model import AMOUNT_MAX, WalletId
from wallet.ledger.outcomes import Applied, Refused, Replayed
from wallet.ledger.requests import Post

ANSWERS = {"applied", "replayed", *(code.value for code in ORDINARY_CODES)}


def test_the_batches_tried_here_get_every_answer_there_is() -> None:
    answers: Counter[str] = Counter()

    def rare() -> dict[str, int]:
        return {answer: answers[answer] for answer in ANSWERS if answers[answer] < 10}

    @tried_until(lambda: not rare(), worlds, batches, examples=300)
    def count(here: World, batch: list[Post]) -> None:
        answers.update(named(outcome) for outcome in here.decide(*batch).outcomes)

    assert rare() == {}


@LAWS
@given(worlds, batches)
def test_money_is_neither_made_nor_lost(here: World, batch: list[Post]) -> None:
    decision = here.decide(*batch)
    for posted in decision.posted:
        per_transaction: Counter[int] = Counter()
        for entry in posted.entries:
            per_transaction[entry.asset_id] += entry.direction * entry.amount
        assert not any(per_transaction.values())
    changes: Counter[int] = Counter()
    for id_, state in decision.states.items():
        changes[state.asset_id] += state.balance - here.wallets[id_].balance
    for id_, delta in decision.deltas.items():
        changes[here.asset_id_of(id_)] += delta
    assert not any(changes.values())


@LAWS
@given(worlds, batches)
def test_states_and_deltas_are_the_sums_of_the_entries(here: World, batch: list[Post]) -> None:
    decision = here.decide(*batch)
    sums: Counter[WalletId] = Counter()
    times: Counter[WalletId] = Counter()
    for posted in decision.posted:
        for entry in posted.entries:
            sums[entry.wallet_id] += entry.direction * entry.amount
            times[entry.wallet_id] += 1
    touched = set(times)
    assert decision.states.keys() == {id_ for id_ in touched if here.wallets[id_].locked}
    assert decision.deltas == {id_: sums[id_] for id_ in touched if not here.wallets[id_].locked}
    for id_, state in decision.states.items():
        before = here.wallets[id_]
        assert state == before._replace(
            balance=before.balance + sums[id_], version=before.version + times[id_], last_entry_at=here.now
        )


@LAWS
@given(worlds, batches)
def test_versions_have_no_gap_and_balances_follow_from_each_other(here: World, batch: list[Post]) -> None:
    entries = [entry for posted in here.decide(*batch).posted for entry in posted.entries]
    for id_, state in here.wallets.items():
        mine = [entry for entry in entries if entry.wallet_id == id_]
        if not state.locked:
            assert all(entry.version is None and entry.balance_after is None for entry in mine)
            continue
        chain = [(state.version, state.balance), *((entry.version, entry.balance_after) for entry in mine)]
        for ((version, balance), (next_version, next_balance)), entry in zip(pairwise(chain), mine, strict=True):
            assert next_version == version + 1
            assert next_balance == balance + entry.direction * entry.amount


@LAWS
@given(worlds, batches)
def test_no_debit_overdraws_and_no_credit_overfills(here: World, batch: list[Post]) -> None:
    for posted in here.decide(*batch).posted:
        for entry in posted.entries:
            wallet = here.wallets[entry.wallet_id]
            if entry.balance_after is None:
                continue
            assert -AMOUNT_MAX <= entry.balance_after <= AMOUNT_MAX
            if entry.direction < 0:
                assert entry.balance_after - wallet.held + wallet.overdraft_limit >= 0
            elif wallet.max_balance is not None:
                assert entry.balance_after <= wallet.max_balance


@LAWS
@given(worlds, batches)
def test_a_capped_asset_is_never_issued_beyond_its_cap(here: World, batch: list[Post]) -> None:
    coin = here.assets["COIN"]
    assert coin.max_supply is not None
    treasury = here.after(*batch).wallets[coin.treasury]
    assert -treasury.balance <= coin.max_supply


@LAWS
@given(worlds, batches)
def test_what_is_refused_or_replayed_might_as_well_not_have_been_sent(here: World, batch: list[Post]) -> None:
    decision = here.decide(*batch)
    first_tries: dict[object, Post] = {}
    for request, outcome in zip(batch, decision.outcomes, strict=True):
        if isinstance(outcome, Applied):
            first_tries.setdefault(request.id, request)
    alone = here.decide(*first_tries.values())
    assert alone[1:] == decision[1:]
    assert len(alone.outcomes) == len(decision.posted)


@LAWS
@given(worlds, batches, st.data())
def test_splitting_a_batch_anywhere_changes_nothing(here: World, batch: list[Post], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(batch)), max_size=3), label="cuts"))
    whole = here.decide(*batch)
    parts = []
    for start, end in pairwise([0, *cuts, len(batch)]):
        part = batch[start:end]
        parts.append(here.decide(*part))
        # The same instant for all, for the whole batch had one.
        here = here.after(*part).at(here.now)
    assert joined(parts) == whole


def joined(parts: list[Decision]) -> Decision:
    deltas: dict[WalletId, int] = {}
    for part in parts:
        for id_, delta in part.deltas.items():
            deltas[id_] = deltas.get(id_, 0) + delta
    return Decision(
        tuple(outcome for part in parts for outcome in part.outcomes),
        tuple(posted for part in parts for posted in part.posted),
        {id_: state for part in parts for id_, state in part.states.items()},
        deltas,
    )


@LAWS
@given(worlds, batches)
def test_asking_again_changes_nothing_and_repeats_the_answers(here: World, batch: list[Post]) -> None:
    accepted = [
        (request, outcome.posted)
        for request, outcome in zip(batch, here.decide(*batch).outcomes, strict=True)
        if not isinstance(outcome, Refused)
    ]
    event(f"{min(len(accepted), 5)} accepted")
    again = here.after(*batch).decide(*(tried_again(request) for request, _ in accepted))
    assert again.outcomes == tuple(Replayed(posted) for _, posted in accepted)
    assert again[1:] == NOTHING[1:]
    assert all(type(outcome) is Replayed for outcome in again.outcomes)


@LAWS
@given(worlds, batches)
def test_running_a_batch_again_whose_answer_was_lost_applies_nothing_twice(here: World, batch: list[Post]) -> None:
    first = here.decide(*batch)
    posted_ids = {posted.id for posted in first.posted}
    answered = [
        (request, outcome)
        for request, outcome in zip(batch, first.outcomes, strict=True)
        if not isinstance(outcome, Refused)
    ]
    again = here.after(*batch).decide(*(request for request, _ in answered))
    assert again[1:] == NOTHING[1:]
    assert [(type(outcome), outcome) for outcome in again.outcomes] == [
        (type(outcome), outcome) for _, outcome in answered
    ]
    assert all(
        isinstance(outcome, Applied) == (request.id in posted_ids)
        for (request, _), outcome in zip(answered, again.outcomes, strict=True)
    )


@LAWS
@given(worlds, batches)
def test_deciding_changes_nothing_that_it_was_given(here: World, batch: list[Post]) -> None:
    wallets, assets, known, requests = dict(here.wallets), dict(here.assets), dict(here.known), list(batch)
    here.decide(*batch)
    assert (here.wallets, here.assets, here.known, batch) == (wallets, assets, known, requests)


@LAWS
@given(worlds, batches, batches)
def test_the_slow_and_obvious_oracle_agrees(here: World, first: list[Post], second: list[Post]) -> None:
    oracle = Oracle(here.wallets, here.assets)
    for batch in (first, second):
        expected = [oracle.decide(request, here.now) for request in batch]
        assert [as_answer(outcome, {}, here) for outcome in here.decide(*batch).outcomes] == expected
        here = here.after(*batch)
        for id_, state in here.wallets.items():
            if state.locked:
                assert (state.balance, state.version) == (oracle.books.balance(id_), oracle.books.version(id_))
