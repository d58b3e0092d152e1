"""What a row is here: ids, details, and what of a posted transaction is read in more than one place. No question about
the ledger as a whole. Begin with posted.
"""
