"""Writes one batch of movements: locks its wallets, loads its states and references, lets ledger/ decide, writes,
commits. No rule is decided here.

Begin with commit (the steps) and writer (what happens if a batch fails). load looks up wallets and references; write
writes rows. The SQL of the steps is in commit.sql, that of holds, lots and other special cases in load_special.sql and
write_special.sql.
"""
