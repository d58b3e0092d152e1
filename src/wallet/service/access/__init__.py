"""Callers and what they may do and see: keys, scopes, rates, ownership, masks, administrative acts.

The effect of a movement is decided in ledger/. Begin with permissions. key_ring authenticates keys, rates counts the
requests of a key, guesses counts wrong codes of claims, ownership finds the caller's own wallets, own_reads restricts
the lists of bound keys, masking hides the rest from answers.
"""
