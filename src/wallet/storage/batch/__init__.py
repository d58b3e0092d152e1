"""Writes one batch of movements: locks its wallets, loads its states and references, lets ledger/ decide, writes,
commits. No rule is decided here.

Begin with commit (the steps) and writer (what happens if a batch fails). The SQL of the steps is in commit.sql, that of
holds, lots and other special cases in load_special.sql and write_special.sql.
"""
