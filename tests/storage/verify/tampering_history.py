"""Ways to tamper with the history of wallets, and with what their rows say of it: with the ledger of handmade."""

from tests.storage.verify.places import ALICE, BOB, CAROL, DAVE, ERIN, GINA, at_line, at_wallet, quoted
from tests.storage.verify.tampering import Tampering

MAY_CARRY = "ALTER TABLE wallets DROP CONSTRAINT wallets_unlocked_ck;"

HISTORY = [
    Tampering(
        "a step's change of held",
        f"UPDATE hold_steps SET held_after = held_after + 1 WHERE wallet_id = {ALICE} AND position = 6",
        4, "held_follows_the_step_before", at_line("hold_steps", "alice", 6),
    ),
    Tampering(
        "a step deleted", f"DELETE FROM hold_steps WHERE wallet_id = {ALICE} AND position = 6",
        4, "versions_have_no_gap", at_line("hold_steps", "alice", 7),
    ),
    Tampering(
        "an event deleted", f"DELETE FROM wallet_events WHERE wallet_id = {ERIN} AND position = 4",
        4, "versions_have_no_gap", at_line("ledger_entries", "erin", 5),
    ),
    Tampering(
        "a last event deleted", f"DELETE FROM wallet_events WHERE wallet_id = {ERIN} AND position = 8",
        4, "version_is_that_of_the_last_entry", at_wallet("erin"),
    ),
    Tampering(
        "a step in another one's place",
        f"UPDATE hold_steps SET position = 5 WHERE wallet_id = {ALICE} AND position = 6",
        4, "versions_have_no_gap", "position 5)",
    ),
    Tampering(
        "a step before its time", "UPDATE hold_steps SET created_at = created_at - interval '1 year'"
        f" WHERE wallet_id = {ALICE} AND position = 6",
        4, "times_never_run_backwards", at_line("hold_steps", "alice", 6),
    ),
    Tampering(
        "an event before its time", "UPDATE wallet_events SET created_at = created_at - interval '1 year'"
        f" WHERE wallet_id = {ERIN} AND position = 4",
        4, "times_never_run_backwards", at_line("wallet_events", "erin", 4),
    ),
    Tampering(
        "the time of an event", "UPDATE wallet_events SET created_at = created_at + '1 us'"
        f" WHERE wallet_id = {ERIN} AND position = 4",
        4, "event_has_the_time_of_its_batch", at_line("wallet_events", "erin", 4),
    ),
    Tampering(
        "an event of no batch", f"UPDATE wallet_events SET seq = 999 WHERE wallet_id = {ERIN} AND position = 4",
        4, "event_has_its_batch", at_line("wallet_events", "erin", 4),
    ),
    Tampering(
        "an event made a merge",
        f"UPDATE wallet_events SET kind = 'merge_out' WHERE wallet_id = {ERIN} AND position = 1",
        7, "event_has_its_transaction", at_line("wallet_events", "erin", 1),
    ),
    Tampering(
        "a merge deleted", f"DELETE FROM transactions WHERE id = {quoted('empty merge')}",
        7, "event_has_its_transaction", at_line("wallet_events", "gina", 1),
    ),
    Tampering(
        "the time of a last step", "UPDATE hold_steps SET created_at = created_at + '1 us' WHERE kind = 'move_in'",
        4, "step_has_the_time_of_its_transaction", at_line("hold_steps", "bob", 2),
    ),
    Tampering(
        "a step of a system wallet",
        f"UPDATE hold_steps SET wallet_id = {quoted('revenue')} WHERE wallet_id = {ALICE} AND position = 6",
        2, "step_has_its_wallet", at_line("hold_steps", "revenue", 6),
    ),
    Tampering(
        "an event of a wallet that is none",
        f"UPDATE wallet_events SET wallet_id = {quoted('nobody')} WHERE wallet_id = {GINA}",
        2, "event_has_its_wallet", at_line("wallet_events", "nobody", 1),
    ),
    Tampering(
        "a limit that was never raised", "UPDATE wallet_events SET changes = '{\"overdraft_limit\":50}'"
        f" WHERE wallet_id = {ERIN} AND position = 1",
        3, "available_is_not_below_zero", at_line("ledger_entries", "erin", 2),
    ),
    Tampering(
        "a hold beyond what there was", "UPDATE wallet_events SET changes = '{\"overdraft_limit\":80}'"
        f" WHERE wallet_id = {ERIN} AND position = 1",
        3, "available_is_not_below_zero", at_line("hold_steps", "erin", 3),
    ),
    Tampering(
        "a forced refund made a spend", f"UPDATE transactions SET type = 'spend' WHERE id = {quoted('forced refund')}",
        3, "available_is_not_below_zero", at_line("ledger_entries", "frank", 3),
    ),
    Tampering(
        "a movement of a closed wallet",
        f"UPDATE wallet_events SET kind = 'close' WHERE wallet_id = {ERIN} AND position = 1",
        7, "closed_wallet_has_no_movement", at_line("ledger_entries", "erin", 2),
    ),
]  # fmt: skip

WALLETS = [
    Tampering(
        "held on a wallet without a hold", "UPDATE wallets SET held = 1 WHERE kind = 'user' AND version = 0",
        2, "held_is_the_sum_of_hold_steps", at_wallet("heidi"),
    ),
    Tampering(
        "held and hold changed alike",
        f"UPDATE wallets SET held = held + 1 WHERE id = {ERIN}; UPDATE holds SET amount = amount + 1"
        f" WHERE id = {quoted('hold 6')}",
        2, "held_is_the_sum_of_hold_steps", at_wallet("erin"),
    ),
    Tampering(
        "held less", f"UPDATE wallets SET held = 0 WHERE id = {ALICE}",
        2, "held_is_the_sum_of_open_holds", at_wallet("alice"),
    ),
    Tampering(
        "a lot balance", f"UPDATE wallets SET lot_balance = lot_balance + 1 WHERE id = {ALICE}",
        2, "lot_balance_is_the_sum_of_lots", at_wallet("alice"),
    ),
    Tampering(
        "held on an unlocked wallet", f"{MAY_CARRY} UPDATE wallets SET held = 1 WHERE kind = 'revenue'",
        2, "unlocked_wallet_carries_nothing", at_wallet("revenue"),
    ),
    Tampering(
        "lots on an unlocked wallet", "UPDATE wallets SET lot_balance = 1 WHERE kind = 'revenue'",
        2, "unlocked_wallet_carries_nothing", at_wallet("revenue"),
    ),
    Tampering(
        "something due on an unlocked wallet", "UPDATE wallets SET next_due_at = now() WHERE kind = 'revenue'",
        2, "unlocked_wallet_carries_nothing", at_wallet("revenue"),
    ),
    *(
        Tampering(
            f"{field} of a wallet", f"UPDATE wallets SET {field} = {value} WHERE id = {ERIN}",
            7, "wallet_is_what_its_events_say", at_wallet("erin"),
        )
        for field, value in {
            "overdraft_limit": "11", "max_balance": "NULL", "limit_day": "500", "limit_month": "500",
            "freeze_outgoing": "false", "freeze_incoming": "true", "closed_at": "now()", "label": "'Erik'",
        }.items()
    ),
    Tampering(
        "a limit of a wallet without events", f"UPDATE wallets SET overdraft_limit = 1 WHERE id = {BOB}",
        7, "wallet_is_what_its_events_say", at_wallet("bob"),
    ),
    Tampering(
        "a wallet opened again by hand", f"UPDATE wallets SET closed_at = NULL WHERE id = {DAVE}",
        7, "wallet_is_what_its_events_say", at_wallet("dave"),
    ),
    Tampering(
        "the time a wallet was closed", f"UPDATE wallets SET closed_at = closed_at + '1 us' WHERE id = {DAVE}",
        7, "wallet_is_what_its_events_say", at_wallet("dave"),
    ),
    Tampering(
        "a merge forgotten", f"UPDATE wallets SET merged_into = NULL WHERE id = {CAROL}",
        7, "wallet_is_what_its_events_say", at_wallet("carol"),
    ),
    Tampering(
        "a merge into another wallet", f"UPDATE wallets SET merged_into = {ALICE} WHERE id = {CAROL}",
        7, "wallet_is_what_its_events_say", at_wallet("carol"),
    ),
    Tampering(
        "a merge into nothing", f"UPDATE wallets SET merged_into = {quoted('nobody')} WHERE id = {CAROL}",
        7, "merged_into_is_a_wallet_like_it", at_wallet("carol"),
    ),
    Tampering(
        "a merge into a system wallet", f"UPDATE wallets SET merged_into = {quoted('revenue')} WHERE id = {CAROL}",
        7, "merged_into_is_a_wallet_like_it", at_wallet("carol"),
    ),
    Tampering(
        "a merge into what was closed before",
        f"UPDATE wallets SET merged_into = {CAROL} WHERE id = {GINA}",
        7, "merges_end_somewhere", at_wallet("gina"),
    ),
    Tampering(
        "merges that go round",
        "UPDATE wallets SET closed_at = '2026-01-05', merged_into = next.id FROM (VALUES"
        f" ({ALICE}::uuid, {BOB}::uuid), ({BOB}, {ERIN}), ({ERIN}, {ALICE})) AS next (from_id, id)"
        f" WHERE wallets.id = from_id",
        7, "merges_end_somewhere", "wallets (shard 0, id ",
    ),
    Tampering(
        "a closed wallet with something in it", f"UPDATE wallets SET lot_balance = 1 WHERE id = {DAVE}",
        7, "closed_wallet_is_empty", at_wallet("dave"),
    ),
    Tampering(
        "a due time forgotten", f"UPDATE wallets SET next_due_at = NULL WHERE id = {ALICE}",
        7, "nothing_is_due_before_next_due_at", at_wallet("alice"),
    ),
    Tampering(
        "a due time of a hold put off", f"UPDATE wallets SET next_due_at = next_due_at + '1 us' WHERE id = {BOB}",
        7, "nothing_is_due_before_next_due_at", at_wallet("bob"),
    ),
    Tampering(
        "a due time of a lot put off", f"UPDATE wallets SET next_due_at = next_due_at + '1 us' WHERE id = {ALICE}",
        7, "nothing_is_due_before_next_due_at", at_wallet("alice"),
    ),
    Tampering(
        "a target that does not know", f"UPDATE wallets SET next_due_at = NULL WHERE id = {quoted('heidi')}",
        7, "target_knows_when_holds_are_due", at_wallet("heidi"),
    ),
    Tampering(
        "a target that was merged into one that does not know",
        f"UPDATE holds SET target_wallet_id = {GINA} WHERE id = {quoted('hold 4')};"
        f" UPDATE wallets SET next_due_at = '2026-03-01' WHERE id = {BOB}",
        7, "target_knows_when_holds_are_due", at_wallet("bob"),
    ),
]  # fmt: skip
