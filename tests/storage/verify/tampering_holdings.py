"""Ways to tamper with holds and lots: with the ledger of handmade."""

from tests.storage.verify.handmade import id_of
from tests.storage.verify.places import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    at_hold,
    at_line,
    at_lot,
    at_move,
    at_transaction,
    quoted,
)
from tests.storage.verify.tampering import Tampering

MAY_BE_CLOSED = "ALTER TABLE holds DROP CONSTRAINT holds_open_ck, DROP CONSTRAINT holds_amounts_ck;"

HOLDS = [
    *(
        Tampering(
            f"{field} of a hold", f"{MAY_BE_CLOSED} UPDATE holds SET {field} = {value} WHERE id = {quoted('hold 2')}",
            7, "hold_is_what_its_steps_say", at_hold("hold 2"),
        )
        for field, value in {
            "amount": "10", "captured": "8", "released": "3", "status": "'voided'", "wallet_id": BOB,
            "expires_at": "now()", "created_at": "now()",
        }.items()
    ),
    Tampering(
        "an expiry of a hold forgotten", f"UPDATE holds SET expires_at = NULL WHERE id = {quoted('hold 3')}",
        7, "hold_is_what_its_steps_say", at_hold("hold 3"),
    ),
    Tampering(
        "a hold closed by hand", f"{MAY_BE_CLOSED} UPDATE holds SET status = 'expired' WHERE id = {quoted('hold 3')}",
        7, "hold_is_what_its_steps_say", at_hold("hold 3"),
    ),
    Tampering(
        "a hold deleted", f"DELETE FROM holds WHERE id = {quoted('hold 1')}",
        2, "step_has_its_hold", "hold_steps (shard 0, wallet_id ",
    ),
    Tampering(
        "a hold of no steps",
        "INSERT INTO holds (amount, released, created_at, asset_id, shard, capture_at_expiry, id, wallet_id, status,"
        f" slice_lots, slice_amounts)"
        f" VALUES (1, 1, now(), 1, 0, false, {quoted('hold x')}, {ALICE}, 'voided', '{{}}', '{{}}')",
        2, "hold_was_placed_once", at_hold("hold x"),
    ),
    Tampering(
        "a hold placed twice", f"UPDATE hold_steps SET kind = 'place' WHERE transaction_id = {quoted('increase 1')}",
        2, "hold_was_placed_once", at_hold("hold 1"),
    ),
    Tampering(
        "a hold that left and did not arrive", "DELETE FROM hold_steps WHERE kind = 'move_in'",
        2, "hold_is_in_one_wallet", at_hold("hold 4"),
    ),
    Tampering(
        "a hold that arrived with less", "UPDATE hold_steps SET held_change = 14 WHERE kind = 'move_in'",
        2, "hold_is_in_one_wallet", at_hold("hold 4"),
    ),
    Tampering(
        "slices of less than what remains",
        f"UPDATE holds SET slice_amounts = '{{6, 3}}' WHERE id = {quoted('hold 3')}",
        2, "slices_are_what_remains", at_hold("hold 3"),
    ),
    Tampering(
        "slices below zero", f"UPDATE holds SET slice_amounts = '{{11, -1}}' WHERE id = {quoted('hold 3')}",
        2, "slices_are_what_remains", at_hold("hold 3"),
    ),
    Tampering(
        "the asset of a hold", f"UPDATE holds SET asset_id = 2 WHERE id = {quoted('hold 3')}",
        2, "hold_is_in_the_asset_of_its_wallets", at_hold("hold 3"),
    ),
    Tampering(
        "a target that does not exist",
        f"UPDATE holds SET target_wallet_id = {quoted('nobody')} WHERE id = {quoted('hold 2')}",
        2, "hold_is_in_the_asset_of_its_wallets", at_hold("hold 2"),
    ),
    Tampering(
        "a hold's transaction deleted", f"DELETE FROM transactions WHERE id = {quoted('increase 1')}",
        2, "step_has_its_transaction", at_line("hold_steps", "alice", 6),
    ),
    Tampering(
        "a merge deleted that moved a hold", f"DELETE FROM transactions WHERE id = {quoted('merge')}",
        2, "step_has_its_transaction", "hold_steps (shard 0, wallet_id ",
    ),
    Tampering(
        "a step of another kind", f"UPDATE hold_steps SET kind = 'expire' WHERE transaction_id = {quoted('void 1')}",
        2, "step_has_its_transaction", at_line("hold_steps", "alice", 8),
    ),
    Tampering(
        "a transaction of another hold",
        f"UPDATE transactions SET hold_id = {quoted('hold 3')} WHERE id = {quoted('void 1')}",
        2, "step_has_its_transaction", at_line("hold_steps", "alice", 8),
    ),
    Tampering(
        "a hold placed by another transaction",
        f"UPDATE holds SET id = {quoted('hold x')} WHERE id = {quoted('hold 2')};"
        f" UPDATE hold_steps SET hold_id = {quoted('hold x')} WHERE hold_id = {quoted('hold 2')};"
        f" UPDATE transactions SET hold_id = {quoted('hold x')} WHERE hold_id = {quoted('hold 2')}",
        2, "step_has_its_transaction", at_line("hold_steps", "alice", 9),
    ),
    Tampering(
        "a step deleted, not its transaction", f"DELETE FROM hold_steps WHERE transaction_id = {quoted('extend 1')}",
        2, "transaction_has_its_step", at_transaction("extend 1"),
    ),
    Tampering(
        "a hold forgotten by its transaction",
        f"UPDATE transactions SET hold_id = NULL WHERE id = {quoted('capture 1')}",
        2, "transaction_names_its_hold", at_transaction("capture 1"),
    ),
    Tampering(
        "a capture of more than was moved",
        f"UPDATE hold_steps SET captured = 11, held_change = -11 WHERE transaction_id = {quoted('capture 1')}",
        2, "capture_moves_what_was_captured", at_line("hold_steps", "alice", 4),
    ),
    Tampering(
        "the time of a hold's transaction",
        f"UPDATE transactions SET created_at = created_at + '1 us' WHERE id = {quoted('extend 1')}",
        4, "step_has_the_time_of_its_transaction", at_line("hold_steps", "alice", 7),
    ),
    Tampering(
        "an extension that holds more",
        f"UPDATE hold_steps SET held_change = 1 WHERE transaction_id = {quoted('extend 1')}",
        7, "step_changes_what_its_kind_says", at_line("hold_steps", "alice", 7),
    ),
    Tampering(
        "what becomes of a hold at its expiry",
        f"UPDATE holds SET capture_at_expiry = true WHERE id = {quoted('hold 2')}",
        7, "transaction_tells_its_hold", "transactions (shard 0, id ",
    ),
    Tampering(
        "the target of a hold", f"UPDATE holds SET target_wallet_id = {ALICE} WHERE id = {quoted('hold 4')}",
        7, "transaction_tells_its_hold", at_transaction("hold 4"),
    ),
    *(
        Tampering(
            f"whether lots go along with {hold}",
            f"UPDATE holds SET carries_lots = NOT carries_lots WHERE id = {quoted(hold)}",
            7, "hold_carries_lots_as_it_was_told", at_hold(hold),
        )
        for hold in ("hold 2", "hold 7")
    ),
    Tampering(
        "whether lots go along, told by a capture",
        f"UPDATE transactions SET details = replace(details, '{{\"id\"', '{{\"carries_lots\":true,\"id\"')"
        f" WHERE id = {quoted('capture 2')}",
        7, "hold_carries_lots_as_it_was_told", at_hold("hold 2"),
    ),
    Tampering(
        "an expiry that was put off later",
        f"UPDATE hold_steps SET expires_at = expires_at - '1 us'::interval WHERE transaction_id = {quoted('hold 1')}",
        7, "transaction_tells_its_hold", at_transaction("hold 1"),
    ),
    Tampering(
        "a release that releases less",
        f"UPDATE hold_steps SET released = 24 WHERE transaction_id = {quoted('void 1')}",
        7, "step_changes_what_its_kind_says", at_line("hold_steps", "alice", 8),
    ),
    Tampering(
        "entries under a hold",
        f"UPDATE ledger_entries SET transaction_id = {quoted('extend 1')} WHERE transaction_id = {quoted('capture 2')}",
        1, "transaction_that_moves_nothing_has_no_entries", at_transaction("extend 1"),
    ),
    Tampering(
        "a grant that was passed over and moved something",
        f"UPDATE ledger_entries SET transaction_id = {quoted('grant 1')} WHERE transaction_id = {quoted('grant 0')}",
        1, "transaction_that_moves_nothing_has_no_entries", at_transaction("grant 1"),
    ),
    Tampering(
        "a grant that was not passed over and moved nothing",
        f"UPDATE transactions SET details = NULL WHERE id = {quoted('grant 1')}",
        1, "transaction_has_entries", at_transaction("grant 1"),
    ),
]  # fmt: skip

LOTS = [
    Tampering(
        "a remainder of a lot", f"UPDATE lots SET remaining = remaining + 1 WHERE id = {quoted('lot 1')}",
        2, "remaining_is_the_sum_of_lot_moves", at_lot("lot 1"),
    ),
    Tampering(
        "held of a lot", f"UPDATE lots SET held = held - 1 WHERE id = {quoted('lot 1')}",
        2, "held_of_a_lot_is_the_sum_of_lot_moves", at_lot("lot 1"),
    ),
    Tampering(
        "held of a lot by no hold", f"UPDATE lots SET held = 1 WHERE id = {quoted('lot 4')}",
        2, "held_of_a_lot_is_the_sum_of_slices", at_lot("lot 4"),
    ),
    Tampering(
        "a slice of another lot",
        f"UPDATE holds SET slice_lots = ARRAY[{quoted('lot 4')}, NULL]::uuid[] WHERE id = {quoted('hold 3')}",
        2, "held_of_a_lot_is_the_sum_of_slices", "lots (shard 0, id ",
    ),
    Tampering(
        "a slice of a lot in another wallet", f"UPDATE lots SET wallet_id = {BOB} WHERE id = {quoted('lot 1')}",
        2, "held_of_a_lot_is_the_sum_of_slices", at_lot("lot 1"),
    ),
    Tampering(
        "a lot given to another", f"UPDATE lots SET wallet_id = {BOB} WHERE id = {quoted('lot 4')}",
        2, "lot_is_where_its_moves_say", at_lot("lot 4"),
    ),
    Tampering(
        "a merged lot given back", f"UPDATE lots SET wallet_id = {CAROL} WHERE id = {quoted('lot 2')}",
        2, "lot_is_where_its_moves_say", at_lot("lot 2"),
    ),
    Tampering(
        "an empty lot given to another", f"UPDATE lots SET wallet_id = {BOB} WHERE id = {quoted('lot 3')}",
        2, "lot_is_where_its_moves_say", at_lot("lot 3"),
    ),
    Tampering(
        "a lot that came from somebody else",
        f"UPDATE lot_moves SET wallet_id = {DAVE} WHERE lot_id = {quoted('lot 2')} AND change = -20",
        2, "lot_is_where_its_moves_say", at_lot("lot 2"),
    ),
    Tampering(
        "a lot of a system wallet", f"UPDATE lots SET wallet_id = {quoted('revenue')} WHERE id = {quoted('lot 4')}",
        2, "lot_is_in_the_asset_of_its_wallet", at_lot("lot 4"),
    ),
    Tampering(
        "the asset of a lot", f"UPDATE lots SET asset_id = 2 WHERE id = {quoted('lot 4')}",
        2, "lot_is_in_the_asset_of_its_wallet", at_lot("lot 4"),
    ),
    Tampering(
        "an amount of a lot", f"UPDATE lots SET amount = amount + 1 WHERE id = {quoted('lot 1')}",
        2, "lot_was_opened", at_lot("lot 1"),
    ),
    Tampering(
        "the time a lot was opened",
        f"UPDATE lots SET opened_at = opened_at - '1 us'::interval WHERE id = {quoted('lot 1')}",
        2, "lot_was_opened", at_lot("lot 1"),
    ),
    Tampering(
        "a lot opened by nothing", f"UPDATE lots SET opened_by = {quoted('nothing')} WHERE id = {quoted('lot 1')}",
        2, "lot_was_opened", at_lot("lot 1"),
    ),
    Tampering(
        "a lot deleted", f"DELETE FROM lots WHERE id = {quoted('lot 3')}",
        2, "move_has_its_lot", "lot_moves (shard 0, transaction_id ",
    ),
    Tampering(
        "a lot of no moves", "INSERT INTO lots (amount, remaining, opened_at, asset_id, shard, priority, id, wallet_id,"
        f" opened_by, category)"
        f" VALUES (1, 0, now(), 1, 0, 50, {quoted('lot x')}, {ALICE}, {quoted('spend 1')}, 'paid')",
        2, "lot_was_opened", at_lot("lot x"),
    ),
    Tampering(
        "a transaction deleted that moved a lot", f"DELETE FROM transactions WHERE id = {quoted('spend 1')}",
        2, "move_has_its_transaction", at_move("spend 1", 0),
    ),
    Tampering(
        "a lot that moves against its entry",
        f"UPDATE lot_moves SET change = 8 WHERE transaction_id = {quoted('spend 1')}",
        2, "lots_move_within_their_entry", at_move("spend 1", 0),
    ),
    Tampering(
        "a lot that moves more than its entry",
        f"UPDATE lot_moves SET change = -21 WHERE transaction_id = {quoted('spend 1')}",
        2, "lots_move_within_their_entry", at_move("spend 1", 0),
    ),
    Tampering(
        "a lot that moves without an entry",
        f"UPDATE lot_moves SET change = 1 WHERE transaction_id = {quoted('increase 1')}",
        2, "lots_move_within_their_entry", at_move("increase 1", 0),
    ),
    Tampering(
        "the time of a move",
        f"UPDATE lot_moves SET created_at = created_at + '1 us' WHERE transaction_id = {quoted('spend 1')}",
        4, "move_has_the_time_of_its_transaction", at_move("spend 1", 0),
    ),
    Tampering(
        "a move deleted", f"DELETE FROM lot_moves WHERE transaction_id = {quoted('merge')} AND ordinal = 0",
        4, "ordinals_have_no_gap", at_move("merge", 1),
    ),
    Tampering(
        "an expiry that never was", f"UPDATE lots SET expiries = 1 WHERE id = {quoted('lot 1')}",
        7, "lot_expired_as_often_as_it_says", at_lot("lot 1"),
    ),
    Tampering(
        "an expiry forgotten", f"UPDATE lots SET expiries = 0 WHERE id = {quoted('lot 3')}",
        7, "lot_expired_as_often_as_it_says", at_lot("lot 3"),
    ),
    Tampering(
        "what was drawn",
        f"UPDATE transactions SET details = replace(details, '20', '19') WHERE id = {quoted('spend 1')}",
        2, "drawn_is_what_lots_lost", at_transaction("spend 1"),
    ),
    Tampering(
        "the category of what was drawn",
        f"UPDATE transactions SET details = replace(details, 'promotional', 'paid') WHERE id = {quoted('spend 1')}",
        2, "drawn_is_what_lots_lost", at_transaction("spend 1"),
    ),
    Tampering(
        "what was drawn forgotten", f"UPDATE transactions SET details = NULL WHERE id = {quoted('spend 1')}",
        2, "drawn_is_what_lots_lost", at_transaction("spend 1"),
    ),
    Tampering(
        "more drawn than debited", "UPDATE transactions SET details = jsonb_set(details::jsonb, '{drawn, 1}',"
        f" jsonb_build_object('wallet_id', {ALICE}, 'amount', 1))::text WHERE id = {quoted('spend 1')}",
        2, "drawn_is_the_whole_debit", at_transaction("spend 1"),
    ),
    *(
        Tampering(
            f"{field} of a lot that went along",
            f"UPDATE lots SET {field} = {value} WHERE id = {quoted(lot)}",
            7, "lots_that_go_along_are_as_they_were", at_transaction(by),
        )
        for field, value, lot, by in (
            ("category", "'paid'", "lot 5", "capture 7"), ("priority", "priority - 1", "lot 6", "spend 2"),
            ("expires_at", "now()", "lot 6", "spend 2"),
        )
    ),
    Tampering(
        "a lot that did not go along",
        f"DELETE FROM lot_moves WHERE lot_id = {quoted('lot 5')}; DELETE FROM lots WHERE id = {quoted('lot 5')};"
        f" UPDATE wallets SET lot_balance = lot_balance - 5 WHERE id = {quoted('ivan')};"
        f" UPDATE transactions SET details = (details::jsonb - 'opened')::text WHERE id = {quoted('capture 7')}",
        7, "lots_that_go_along_are_as_they_were", at_transaction("capture 7"),
    ),
    Tampering(
        "an opened lot not told of", f"UPDATE transactions SET details = NULL WHERE id = {quoted('alice bonus')}",
        2, "transaction_names_the_lots_that_it_opened", at_transaction("alice bonus"),
    ),
    Tampering(
        "an opened lot that does not exist",
        f"UPDATE transactions SET details = replace(details, '{id_of('lot 1')}', '{id_of('lot x')}')",
        2, "transaction_names_the_lots_that_it_opened", at_transaction("alice bonus"),
    ),
    Tampering(
        "a lot joined and not told of",
        f"UPDATE transactions SET details = (details::jsonb - 'joined')::text WHERE id = {quoted('carried 2')}",
        2, "transaction_names_what_joined_lots", at_transaction("carried 2"),
    ),
    Tampering(
        "more told to have joined a lot than has",
        "UPDATE transactions SET details = jsonb_set(details::jsonb, '{joined, 0, amount}', '4')::text"
        f" WHERE id = {quoted('carried 2')}",
        2, "transaction_names_what_joined_lots", at_transaction("carried 2"),
    ),
]  # fmt: skip
