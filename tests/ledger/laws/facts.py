"""The laws that a world and each decision in it must keep (ledger.md, "Laws that always hold")."""

from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.ledger.worlds import World
from wallet.ledger.batch import Decision
from wallet.ledger.model import HoldStatus, HoldStep, WalletEvent


def check_facts(before: World, decision: Decision, after: World) -> None:
    """All of it."""
    money_is_conserved(before, decision)
    lines_have_no_gap(before, decision)
    times_never_run_backwards(after)
    holds_add_up(after)
    claims_add_up(after)
    lots_add_up(after)
    refunds_stay_within_originals(after)
    nothing_overdraws(before, decision)
    next_due_is_never_late(after)


def money_is_conserved(before: World, decision: Decision) -> None:
    changes: Counter[int] = Counter()
    for posted in decision.posted:
        sums: Counter[int] = Counter()
        for entry in posted.entries:
            assert entry.amount > 0
            sums[entry.asset_id] += entry.direction * entry.amount
        assert not any(sums.values()), f"{posted.reference_id} does not cancel out"
    for id_, state in decision.states.items():
        changes[state.asset_id] += state.balance - before.wallets[id_].balance
    for id_, delta in decision.deltas.items():
        changes[before.asset_id_of(id_)] += delta
    assert not any(changes.values())


def lines_have_no_gap(before: World, decision: Decision) -> None:
    """Entries, hold steps and events of a locked wallet: versions follow each other, and so do balances and held."""
    lines: dict[object, list[tuple[int, str, int]]] = {}
    for posted in decision.posted:
        for entry in posted.entries:
            if entry.version is not None and entry.balance_after is not None:
                change = entry.direction * entry.amount
                lines.setdefault(entry.wallet_id, []).append((entry.version, "balance", change))
    for step in decision.changes.steps:
        lines.setdefault(step.wallet_id, []).append((step.version, "held", step.held_change))
    for event in decision.changes.events:
        lines.setdefault(event.wallet_id, []).append((event.version, "event", 0))
    for id_, state in before.wallets.items():
        mine = sorted(lines.get(id_, []))
        versions = [version for version, _, _ in mine]
        assert versions == list(range(state.version + 1, state.version + 1 + len(mine))), f"versions of {id_}"
        after = decision.states.get(id_, state)
        assert after.version == state.version + len(mine)
        assert after.balance == state.balance + sum(change for _, what, change in mine if what == "balance")
        assert after.held == state.held + sum(change for _, what, change in mine if what == "held")
        assert (id_ in decision.states) <= state.locked
        if mine:
            assert after.last_entry_at == before.now
    balances = {id_: state.balance for id_, state in before.wallets.items()}
    held = {id_: state.held for id_, state in before.wallets.items()}
    for posted in decision.posted:
        for entry in posted.entries:
            if entry.balance_after is not None:
                balances[entry.wallet_id] += entry.direction * entry.amount
                assert entry.balance_after == balances[entry.wallet_id]
    for step in decision.changes.steps:
        held[step.wallet_id] += step.held_change
        assert step.held_after == held[step.wallet_id] >= 0


def times_never_run_backwards(after: World) -> None:
    """Along the versions of a wallet. And nothing takes effect after it was posted."""
    times: dict[object, list[tuple[int, datetime]]] = {}
    created = {posted.id: posted.created_at for posted in after.history}
    for posted in after.history:
        for entry in posted.entries:
            if entry.version is not None:
                times.setdefault(entry.wallet_id, []).append((entry.version, posted.created_at))
    for step in after.steps:
        times.setdefault(step.wallet_id, []).append((step.version, created[step.transaction_id]))
    for id_, lines in times.items():
        for (version, at), (next_version, next_at) in pairwise(sorted(lines)):
            assert version < next_version, id_
            assert at <= next_at, id_
    for posted in after.history:
        assert posted.effective_at <= posted.created_at


def holds_add_up(after: World) -> None:
    for hold in after.holds.values():
        assert min(hold.captured, hold.released, hold.remaining) >= 0
        assert hold.captured + hold.released + hold.remaining == hold.amount
        assert (hold.status is HoldStatus.OPEN) == (hold.remaining > 0)
        assert sum(each.amount for each in hold.slices) == hold.remaining
        assert all(each.amount > 0 for each in hold.slices)
    for id_, state in after.wallets.items():
        mine = [hold for hold in after.holds.values() if hold.wallet_id == id_]
        assert state.held == sum(hold.remaining for hold in mine)
    for hold in after.holds.values():
        steps = [step for step in after.steps if step.hold_id == hold.id]
        stays = [step for step in steps if step.kind not in ("move_out", "move_in")]
        assert hold.captured == sum(step.captured for step in stays), "captured"
        assert hold.released == sum(step.released for step in stays), "released"
        assert hold.remaining == sum(step.held_change for step in steps), "remaining"
        assert steps[-1].expires_at == hold.expires_at


def claims_add_up(after: World) -> None:
    """All uses are of one amount and accounted for, and no user has two where each may have one."""
    for hold in after.holds.values():
        if hold.claim is None:
            continue
        amount, uses, once_per_user, _ = hold.claim
        redeemed = [each for each in after.history if each.type == "claim_redeem" and each.hold_id == hold.id]
        assert hold.amount == amount * uses == len(redeemed) * amount + hold.released + hold.remaining
        assert len(redeemed) <= uses
        assert all((each.entries[0].amount, each.entries[1].amount) == (amount, amount) for each in redeemed)
        assert (hold.status is HoldStatus.CAPTURED) == (len(redeemed) == uses)
        assert hold.expires_at is not None
        assert all(hold.created_at <= each.created_at < hold.expires_at for each in redeemed)
        users = [after.users.get(each.entries[1].wallet_id) for each in redeemed]
        if once_per_user:
            assert None not in users
            assert len(set(users)) == len(users)
        noted = {user: each for (claim_id, user), each in after.redeemed.items() if claim_id == hold.id}
        assert noted == ({user: each.id for user, each in zip(users, redeemed, strict=True)} if once_per_user else {})


def lots_add_up(after: World) -> None:
    reserved: Counter[object] = Counter()
    for hold in after.holds.values():
        for each in hold.slices:
            reserved[each.lot_id] += each.amount
            if each.lot_id is not None:
                assert after.lots[each.lot_id].wallet_id == hold.wallet_id
    for lot in after.lots.values():
        moves = [move for move in after.lot_moves if move.lot_id == lot.id]
        # The credit that joined a lot, or was restored to it, adds to the amount that it was opened with.
        gained = sum(move.change for move in moves if move.change > 0 and move.transaction_id != lot.opened_by)
        assert 0 <= lot.held <= lot.remaining <= lot.amount + gained
        assert lot.held == reserved[lot.id]
        assert lot.remaining == sum(move.change for move in moves), "moves of a lot"
        assert lot.held == sum(move.held_change for move in moves), "moves of what is held of a lot"
        here = [move for move in moves if move.wallet_id == lot.wallet_id]
        assert lot.remaining == sum(move.change for move in here), "moves of a lot in its wallet"
    for transaction in {move.transaction_id for move in after.lot_moves}:
        ordinals = [move.ordinal for move in after.lot_moves if move.transaction_id == transaction]
        assert ordinals == list(range(len(ordinals))), "places of lot moves"
    for id_, state in after.wallets.items():
        remainders = sum(lot.remaining for lot in after.lots.values() if lot.wallet_id == id_)
        assert state.standing.lot_balance == remainders, f"lots of {id_}"


def refunds_stay_within_originals(after: World) -> None:
    refunded: Counter[object] = Counter()
    for posted in after.history:
        if posted.refund_of is not None:
            refunded[posted.refund_of] += posted.entries[0].amount
    for posted in after.history:
        if posted.entries:
            assert refunded[posted.id] <= posted.entries[0].amount


UNCHECKED = {"refund", "expiry", "capture", "claim_redeem", "merge"}
"""Movements that may leave less than nothing available: forced refunds, and what is not judged by funds."""


def nothing_overdraws(before: World, decision: Decision) -> None:
    """A wallet's available never falls below zero through a movement, nor does an asset's supply beyond its cap."""
    types = {posted.id: posted.type for posted in decision.posted}
    lines: list[tuple[int, Any]] = [
        (entry.version, entry) for posted in decision.posted for entry in posted.entries if entry.version is not None
    ]
    lines += [(step.version, step) for step in decision.changes.steps]
    lines += [(event.version, event) for event in decision.changes.events]
    wallets = dict(before.wallets)
    for _, line in sorted(lines, key=lambda line: line[0]):
        state = wallets[line.wallet_id]
        if isinstance(line, WalletEvent):
            limit = dict(line.changes).get("overdraft_limit", state.overdraft_limit)
            state = state._replace(overdraft_limit=int(limit or 0))
        elif isinstance(line, HoldStep):
            state = state._replace(held=line.held_after)
            is_reserved = line.kind in ("place", "increase")
            assert state.available >= 0 or not is_reserved, f"{line.kind} on {line.wallet_id}"
        else:
            state = state._replace(balance=line.balance_after)
            is_judged = line.direction < 0 and types[line.transaction_id] not in UNCHECKED
            assert state.available >= 0 or not is_judged, f"{types[line.transaction_id]} on {line.wallet_id}"
        wallets[line.wallet_id] = state


def next_due_is_never_late(after: World) -> None:
    """No future due step is hidden behind a later `next_due_at`."""
    for hold in after.holds.values():
        if hold.status is HoldStatus.OPEN and hold.expires_at is not None:
            ends = [hold.wallet_id, hold.target if hold.capture_at_expiry else None]
            for id_ in ends:
                state = after.wallets.get(id_) if id_ is not None else None
                if state is not None and state.locked and not state.standing.closed:
                    next_due_at = state.standing.next_due_at
                    assert next_due_at is not None, f"a hold expires unseen at {id_}"
                    assert next_due_at <= hold.expires_at, f"a hold expires unseen at {id_}"
    for lot in after.lots.values():
        if lot.free and lot.expires_at is not None:
            next_due_at = after.wallets[lot.wallet_id].standing.next_due_at
            assert next_due_at is not None, f"a lot expires unseen at {lot.wallet_id}"
            assert next_due_at <= lot.expires_at, f"a lot expires unseen at {lot.wallet_id}"
