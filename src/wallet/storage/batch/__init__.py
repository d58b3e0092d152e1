"""One batch: its wallets locked, its states loaded, what was decided written, COMMIT sent. What is decided is the
ledger's. Begin with writer, then commit.
"""
