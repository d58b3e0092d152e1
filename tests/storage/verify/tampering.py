"""Ways to tamper with the ledger that test_verify.make_ledger makes."""

from typing import NamedTuple


class Tampering(NamedTuple):
    """The acts of an intruder with the owner's rights, and the check that has to name each.

    `where` is as much of the place named as does not change from run to run.
    """

    name: str
    sql: str
    law: int
    check: str
    where: str


# The rows that most of them pick: the user's wallet with the most entries, and its second entry.
BUSY = """(
    SELECT wallet_id FROM ledger_entries JOIN wallets ON id = wallet_id WHERE user_id IS NOT NULL
     GROUP BY wallet_id ORDER BY count(*) DESC, wallet_id LIMIT 1)"""
SECOND = f"wallet_id = {BUSY} AND position = 2"
GOLD = "(SELECT id FROM assets WHERE code = 'GOLD')"
GEMS = "(SELECT id FROM assets WHERE code = 'GEMS')"
TREASURY = "(SELECT treasury_wallet_id FROM assets WHERE code = 'GOLD')"
CAPPED = "(SELECT treasury_wallet_id FROM assets WHERE code = 'GEMS')"
A_SPEND = "(SELECT id FROM transactions WHERE type = 'spend' ORDER BY id LIMIT 1)"
MAY_CARRY = "ALTER TABLE wallets DROP CONSTRAINT wallets_unlocked_ck;"

TAMPERINGS = [
    Tampering(
        "an amount of one entry", f"UPDATE ledger_entries SET amount = amount + 1 WHERE {SECOND}",
        1, "credits_equal_debits", "transactions (shard 0, id ",
    ),
    Tampering(
        "a direction", f"UPDATE ledger_entries SET direction = -direction WHERE {SECOND}",
        1, "credits_equal_debits", "transactions (shard 0, id ",
    ),
    Tampering(
        "the asset of one side, which cancels out in sum",
        f"UPDATE ledger_entries SET asset_id = {GEMS} WHERE {SECOND}",
        1, "credits_equal_debits", "transactions (shard 0, id ",
    ),
    Tampering(
        "the asset of both sides",
        f"UPDATE ledger_entries SET asset_id = {GEMS} WHERE transaction_id = {A_SPEND}",
        1, "entry_is_in_the_asset_of_its_wallet", "ledger_entries (shard 0, wallet_id ",
    ),
    Tampering(
        "both entries of a transaction deleted", f"DELETE FROM ledger_entries WHERE transaction_id = {A_SPEND}",
        1, "transaction_has_entries", "transactions (shard 0, id ",
    ),
    Tampering(
        "a transaction deleted", f"DELETE FROM transactions WHERE id = {A_SPEND}",
        1, "entry_has_its_transaction", "ledger_entries (shard 0, wallet_id ",
    ),
    Tampering(
        "an entry given to a transaction behind the last",
        f"UPDATE ledger_entries SET transaction_id = 'ffffffff-ffff-ffff-ffff-ffffffffffff' WHERE {SECOND}",
        1, "entry_has_its_transaction", "ledger_entries (shard 0, wallet_id ",
    ),
    Tampering(
        "an entry given to a transaction before the first",
        f"UPDATE ledger_entries SET transaction_id = '00000000-0000-0000-0000-000000000000' WHERE {SECOND}",
        1, "entry_has_its_transaction", "ledger_entries (shard 0, wallet_id ",
    ),
    Tampering(
        "a transaction in another shard", f"UPDATE transactions SET shard = 7 WHERE id = {A_SPEND}",
        1, "transaction_has_entries", "transactions (shard 7, id ",
    ),
    Tampering(
        "money from nowhere", f"UPDATE wallets SET balance = balance + 1 WHERE id = {BUSY}",
        1, "wallets_of_an_asset_sum_to_zero", "assets (id 1)",
    ),
    Tampering(
        "a balance", f"UPDATE wallets SET balance = balance + 1 WHERE id = {BUSY}",
        2, "balance_is_the_sum_of_entries", "wallets (shard 0, id ",
    ),
    Tampering(
        "a balance of a wallet without entries", "UPDATE wallets SET balance = 5 WHERE version = 0 AND locked",
        2, "balance_is_the_sum_of_entries", "wallets (shard 0, id ",
    ),
    Tampering(
        "held without a hold", f"UPDATE wallets SET held = 1 WHERE id = {BUSY}",
        2, "held_is_the_sum_of_open_holds", "wallets (shard 0, id ",
    ),
    Tampering(
        "a wallet deleted", f"DELETE FROM wallets WHERE id = {BUSY}",
        2, "entry_has_its_wallet", "ledger_entries (shard 0, wallet_id ",
    ),
    Tampering(
        "a system wallet deleted", f"DELETE FROM wallets WHERE id = {TREASURY}",
        2, "asset_has_its_system_wallets", "assets (id 1)",
    ),
    Tampering(
        "a system wallet made another's", f"UPDATE wallets SET asset_id = {GEMS} WHERE id = {TREASURY}",
        2, "asset_has_its_system_wallets", "assets (id 1)",
    ),
    Tampering(
        "an asset deleted", "DELETE FROM assets WHERE code = 'GEMS'",
        2, "wallet_has_its_asset", "wallets (shard 0, id ",
    ),
    Tampering(
        "a user deleted", "DELETE FROM users",
        2, "wallet_has_its_user", "wallets (shard 0, id ",
    ),
    Tampering(
        "a balance on an unlocked wallet",
        f"{MAY_CARRY} UPDATE wallets SET balance = 1 WHERE id = {TREASURY}",
        2, "unlocked_wallet_carries_nothing", "wallets (shard 0, id ",
    ),
    Tampering(
        "a version on an unlocked wallet",
        f"{MAY_CARRY} UPDATE wallets SET version = 1 WHERE id = {TREASURY}",
        2, "unlocked_wallet_carries_nothing", "wallets (shard 0, id ",
    ),
    Tampering(
        "a balance after on an unlocked wallet",
        f"UPDATE ledger_entries SET balance_after = 1 WHERE wallet_id = {TREASURY} AND position >> 20 = 1",
        2, "unlocked_entry_has_no_balance", "ledger_entries (shard 0, wallet_id ",
    ),
    Tampering(
        "a delta", f"UPDATE system_deltas SET amount = amount - 1 WHERE wallet_id = {TREASURY} AND seq = 1",
        2, "delta_is_the_sum_of_its_entries", "seq 1)",
    ),
    Tampering(
        "a delta deleted", f"DELETE FROM system_deltas WHERE wallet_id = {TREASURY} AND seq = 5",
        2, "delta_is_the_sum_of_its_entries", "seq 5)",
    ),
    Tampering(
        "a delta of nothing added", f"INSERT INTO system_deltas VALUES (2, 0, {TREASURY}, 0)",
        2, "delta_is_the_sum_of_its_entries", "seq 2)",
    ),
    Tampering(
        "a delta of no batch", f"INSERT INTO system_deltas VALUES (99, 0, {TREASURY}, 0)",
        2, "delta_has_its_batch", "seq 99)",
    ),
    Tampering(
        "a delta of no wallet", "INSERT INTO system_deltas VALUES (2, 0, gen_random_uuid(), 0)",
        2, "delta_has_its_wallet", "system_deltas (shard 0, wallet_id ",
    ),
    Tampering(
        "a delta of a locked wallet", f"INSERT INTO system_deltas VALUES (2, 0, {BUSY}, 0)",
        2, "delta_has_its_wallet", "system_deltas (shard 0, wallet_id ",
    ),
    Tampering(
        "a snapshot of no wallet", "INSERT INTO system_snapshots VALUES (2, now(), 0, gen_random_uuid(), 0)",
        2, "snapshot_has_its_wallet", "system_snapshots (shard 0, wallet_id ",
    ),
    Tampering(
        "the first snapshot",
        f"UPDATE system_snapshots SET balance = balance + 1 WHERE wallet_id = {TREASURY} AND upto_seq = 2",
        2, "snapshot_is_the_sum_of_deltas", "upto_seq 2)",
    ),
    Tampering(
        "the last snapshot",
        f"UPDATE system_snapshots SET balance = balance + 1 WHERE wallet_id = {TREASURY} AND upto_seq = 4",
        2, "snapshot_is_the_sum_of_deltas", "upto_seq 4)",
    ),
    Tampering(
        "a snapshot ahead of the watermark",
        "INSERT INTO system_snapshots SELECT 5, now(), 0, wallet_id, sum(amount) FROM system_deltas"
        f" WHERE wallet_id = {TREASURY} GROUP BY wallet_id",
        2, "snapshot_is_stable", "upto_seq 5)",
    ),
    Tampering(
        "a treasury beyond its cap",
        f"UPDATE wallets SET balance = -1001 WHERE id = {CAPPED}",
        3, "treasury_is_within_its_cap", "wallets (shard 0, id ",
    ),
    Tampering(
        "a cap lowered", "UPDATE assets SET max_supply = 999 WHERE code = 'GEMS'",
        3, "treasury_is_within_its_cap", "wallets (shard 0, id ",
    ),
    Tampering(
        "a treasury that may go beyond its cap", f"UPDATE wallets SET overdraft_limit = 1001 WHERE id = {CAPPED}",
        3, "treasury_limit_is_its_cap", "wallets (shard 0, id ",
    ),
    Tampering(
        "more spent than there was",
        f"UPDATE ledger_entries SET amount = amount + 1000 WHERE transaction_id = {A_SPEND}",
        3, "available_is_not_below_zero", "ledger_entries (shard 0, wallet_id ",
    ),
    Tampering(
        "more issued than the cap",
        f"UPDATE ledger_entries SET amount = amount + 1000 WHERE wallet_id = {CAPPED} AND position = 2",
        3, "available_is_not_below_zero", "position 2)",
    ),
    Tampering(
        "a user's wallet that nobody locks",
        f"UPDATE wallets SET locked = false, balance = 0, version = 0 WHERE id = {BUSY}",
        3, "wallet_is_locked_by_its_kind", "wallets (shard 0, id ",
    ),
    Tampering(
        "a system wallet that everybody locks", f"UPDATE wallets SET locked = true WHERE id = {TREASURY}",
        3, "wallet_is_locked_by_its_kind", "wallets (shard 0, id ",
    ),
    Tampering(
        "a version", f"UPDATE wallets SET version = version + 1 WHERE id = {BUSY}",
        4, "version_is_that_of_the_last_entry", "wallets (shard 0, id ",
    ),
    Tampering(
        "the time of the last entry", f"UPDATE wallets SET last_entry_at = last_entry_at + '1 us' WHERE id = {BUSY}",
        4, "last_entry_at_is_that_of_the_last_entry", "wallets (shard 0, id ",
    ),
    Tampering(
        "the time of the last entry forgotten", f"UPDATE wallets SET last_entry_at = NULL WHERE id = {BUSY}",
        4, "last_entry_at_is_that_of_the_last_entry", "wallets (shard 0, id ",
    ),
    Tampering(
        "an entry deleted", f"DELETE FROM ledger_entries WHERE {SECOND}",
        4, "versions_have_no_gap", "position 3)",
    ),
    Tampering(
        "a first entry deleted", f"DELETE FROM ledger_entries WHERE wallet_id = {BUSY} AND position = 1",
        4, "versions_have_no_gap", "position 2)",
    ),
    Tampering(
        "a last entry deleted",
        f"DELETE FROM ledger_entries USING wallets WHERE wallet_id = {BUSY} AND wallet_id = id AND position = version",
        4, "version_is_that_of_the_last_entry", "wallets (shard 0, id ",
    ),
    Tampering(
        "a balance after", f"UPDATE ledger_entries SET balance_after = balance_after + 1 WHERE {SECOND}",
        4, "balances_follow_each_other", "position 2)",
    ),
    Tampering(
        "a balance after beyond all sums",
        f"UPDATE ledger_entries SET balance_after = 9223372036854775807 WHERE {SECOND}",
        4, "balances_follow_each_other", "position 2)",
    ),
    Tampering(
        "a balance after forgotten", f"UPDATE ledger_entries SET balance_after = NULL WHERE {SECOND}",
        4, "balances_follow_each_other", "position 2)",
    ),
    Tampering(
        "a time that runs backwards",
        f"UPDATE ledger_entries SET created_at = created_at - interval '1 year' WHERE {SECOND}",
        4, "times_never_run_backwards", "position 2)",
    ),
    Tampering(
        "the time of an entry", f"UPDATE ledger_entries SET created_at = created_at + '1 us' WHERE {SECOND}",
        4, "entry_has_the_time_of_its_transaction", "position 2)",
    ),
    Tampering(
        "the time of a transaction",
        f"UPDATE transactions SET created_at = created_at + '1 us' WHERE id = {A_SPEND}",
        4, "transaction_has_the_time_of_its_batch", "transactions (shard 0, id ",
    ),
    Tampering(
        "the time of a batch", "UPDATE batches SET created_at = created_at + '1 us' WHERE seq = 2",
        4, "transaction_has_the_time_of_its_batch", "transactions (shard 0, id ",
    ),
    Tampering(
        "a leg that is there twice", f"UPDATE ledger_entries SET leg = 0 WHERE transaction_id = {A_SPEND}",
        4, "legs_have_no_gap", "transactions (shard 0, id ",
    ),
    Tampering(
        "a leg after the last",
        f"UPDATE ledger_entries SET leg = 2 WHERE transaction_id = {A_SPEND} AND leg = 1",
        4, "legs_have_no_gap", "transactions (shard 0, id ",
    ),
    Tampering(
        "a batch deleted", "DELETE FROM batches WHERE seq = 2",
        4, "transaction_has_its_batch", "transactions (shard 0, id ",
    ),
    Tampering(
        "the count of a batch", "UPDATE batches SET transactions = transactions + 1 WHERE seq = 2",
        4, "batch_has_its_transactions", "batches (shard 0, seq 2)",
    ),
    Tampering(
        "a batch without transactions", "INSERT INTO batches VALUES (99, now(), 1, 0, gen_random_uuid())",
        4, "batch_has_its_transactions", "batches (shard 0, seq 99)",
    ),
    Tampering(
        "a transaction moved to another batch", f"UPDATE transactions SET seq = 4 WHERE id = {A_SPEND}",
        4, "batch_has_its_transactions", "batches (shard 0, seq 2)",
    ),
    Tampering(
        "an entry of an unlocked wallet moved to another batch",
        f"UPDATE ledger_entries SET position = (5 << 20) + 1000 WHERE wallet_id = {TREASURY} AND position >> 20 = 4",
        4, "unlocked_entry_is_in_its_batch", f"position {(5 << 20) + 1000})",
    ),
]  # fmt: skip
