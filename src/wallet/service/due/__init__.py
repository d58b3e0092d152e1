"""Posts what falls due: expired holds and lots, and periods of programmes. The due steps themselves are decided in
ledger/movements/due.

Begin with settler (before a wallet is read). keeper posts in the background; sandbox_clock advances the clock.
"""
