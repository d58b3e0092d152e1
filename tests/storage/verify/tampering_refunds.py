"""Ways to tamper with refunds, backdated entries and programmes, and to leave no sense: with the ledger of handmade."""

from tests.storage.verify.handmade import id_of
from tests.storage.verify.places import ALICE, ERIN, at_attachment, at_line, at_lot, at_transaction, quoted
from tests.storage.verify.tampering import Tampering

REFUNDS = [
    Tampering(
        "what was refunded", f"UPDATE refund_states SET refunded = 10 WHERE original_id = {quoted('spend 1')}",
        7, "refund_state_is_the_sum_of_refunds", f"original_id {id_of('spend 1')})",
    ),
    Tampering(
        "how often it was refunded", f"UPDATE refund_states SET refunds = 0 WHERE original_id = {quoted('general')}",
        7, "refund_state_is_the_sum_of_refunds", f"original_id {id_of('general')})",
    ),
    Tampering(
        "a refund forgotten", f"DELETE FROM refund_states WHERE original_id = {quoted('frank topup')}",
        7, "refund_state_is_the_sum_of_refunds", f"original_id {id_of('frank topup')})",
    ),
    Tampering(
        "a refund deleted", f"DELETE FROM transactions WHERE id = {quoted('refund 2')}",
        7, "refund_state_is_the_sum_of_refunds", f"original_id {id_of('spend 1')})",
    ),
    Tampering(
        "an original deleted", f"DELETE FROM transactions WHERE id = {quoted('spend 1')}",
        7, "refund_has_its_original", f"original_id {id_of('spend 1')})",
    ),
    Tampering(
        "a refund of a refund",
        f"UPDATE transactions SET refund_of = {quoted('refund 1')} WHERE id = {quoted('refund 2')}",
        7, "refund_has_its_original", f"original_id {id_of('refund 1')})",
    ),
    Tampering(
        "a refund effective before its original",
        f"UPDATE transactions SET effective_at = '2026-01-01' WHERE id = {quoted('refund 1')}",
        7, "refund_has_its_original", f"original_id {id_of('spend 1')})",
    ),
    Tampering(
        "a refund of more than there was",
        f"UPDATE ledger_entries SET amount = 20 WHERE transaction_id = {quoted('refund 1')}",
        7, "refunds_are_within_their_original", f"original_id {id_of('spend 1')})",
    ),
    Tampering(
        "a general transaction refunded twice",
        f"UPDATE transactions SET refund_of = {quoted('general')} WHERE id = {quoted('refund 1')}",
        7, "refunds_are_within_their_original", f"original_id {id_of('general')})",
    ),
    Tampering(
        "a refund of nothing", f"UPDATE transactions SET refund_of = NULL WHERE id = {quoted('refund 1')}",
        7, "refund_names_its_original", at_transaction("refund 1"),
    ),
    Tampering(
        "a spend made a refund",
        f"UPDATE transactions SET refund_of = {quoted('spend 1')} WHERE id = {quoted('frank spend')}",
        7, "refund_names_its_original", at_transaction("frank spend"),
    ),
    Tampering(
        "a backdated entry deleted",
        f"DELETE FROM backdated_entries WHERE transaction_id = {quoted('late topup')} AND change > 0",
        7, "backdated_entry_is_noted", at_line("ledger_entries", "alice", 20),
    ),
    Tampering(
        "an entry backdated by its transaction",
        f"UPDATE transactions SET effective_at = effective_at - '1 us'::interval WHERE id = {quoted('spend 1')}",
        7, "backdated_entry_is_noted", "ledger_entries (shard 0, wallet_id ",
    ),
    *(
        Tampering(
            f"{field} of a backdated entry",
            f"UPDATE backdated_entries SET {field} = {value}"
            f" WHERE transaction_id = {quoted('late topup')} AND change > 0",
            7, "backdated_entry_is_what_its_entry_says", f"backdated_entries (shard 0, wallet_id {id_of('alice')}",
        )
        for field, value in {
            "change": "6", "created_at": "created_at + '1 us'", "effective_at": "effective_at + '1 us'",
            "position": "1000", "transaction_id": quoted("spend 1"),
        }.items()
    ),
    Tampering(
        "an entry backdated that is not",
        "INSERT INTO backdated_entries (effective_at, created_at, position, change, shard,"
        " wallet_id, transaction_id) SELECT created_at - '1 us'::interval, created_at, position, amount, shard,"
        f" wallet_id, transaction_id FROM ledger_entries WHERE wallet_id = {ALICE} AND position = 1",
        7, "backdated_entry_is_what_its_entry_says", "position 1)",
    ),
]  # fmt: skip

PROGRAMMES = [
    Tampering(
        "a programme deleted", "DELETE FROM programmes",
        7, "attachment_has_its_programme", at_attachment("programme", "alice"),
    ),
    Tampering(
        "a programme of a lot deleted", "DELETE FROM programmes",
        7, "lot_has_its_programme", at_lot("lot 4"),
    ),
    Tampering(
        "a lot of more than its programme grants", "UPDATE programmes SET amount = 19",
        7, "lot_has_its_programme", at_lot("lot 4"),
    ),
    Tampering(
        "a lot of another category", f"UPDATE lots SET category = 'paid' WHERE id = {quoted('lot 4')}",
        7, "lot_has_its_programme", at_lot("lot 4"),
    ),
    Tampering(
        "a grant of more than its programme's", "UPDATE programmes SET amount = 19",
        7, "grant_is_within_its_programme", at_transaction("grant 0"),
    ),
    Tampering(
        "an attachment deleted", "DELETE FROM programme_wallets",
        7, "grant_has_its_attachment", "transactions (shard 0, id ",
    ),
    Tampering(
        "an attachment of a wallet that is none", f"UPDATE programme_wallets SET wallet_id = {quoted('nobody')}",
        7, "attachment_has_its_wallet", at_attachment("programme", "nobody"),
    ),
    Tampering(
        "an attachment of a system wallet", f"UPDATE programme_wallets SET wallet_id = {quoted('revenue')}",
        7, "attachment_has_its_wallet", at_attachment("programme", "revenue"),
    ),
    Tampering(
        "a period brought forward", "UPDATE programme_wallets SET next_at = next_at - '1 us'::interval",
        7, "next_at_is_the_start_of_the_next_period", at_attachment("programme", "alice"),
    ),
    Tampering(
        "a programme that stopped", "UPDATE programme_wallets SET next_at = NULL",
        7, "next_at_is_the_start_of_the_next_period", at_attachment("programme", "alice"),
    ),
    Tampering(
        "a period to be granted again",
        "UPDATE programme_wallets SET next_period = 1, next_at = next_at - interval '1 day'",
        7, "next_period_was_not_granted", at_attachment("programme", "alice"),
    ),
]  # fmt: skip

UNREADABLE = [
    Tampering(
        "an event's text", f"UPDATE wallet_events SET changes = '{{' WHERE wallet_id = {ERIN} AND position = 4",
        7, "history_can_be_read", f"history (shard 0, key {id_of('erin')}, 4)",
    ),
    Tampering(
        "the details of what was passed over",
        f"UPDATE transactions SET details = details || '}}' WHERE id = {quoted('grant 1')}",
        7, "transactions_can_be_read", f"transactions (shard 0, key {id_of('grant 1')})",
    ),
    Tampering(
        "a transaction's details", f"UPDATE transactions SET details = '{{\"drawn\":' WHERE id = {quoted('spend 1')}",
        7, "transactions_can_be_read", f"transactions (shard 0, key {id_of('spend 1')})",
    ),
]  # fmt: skip
