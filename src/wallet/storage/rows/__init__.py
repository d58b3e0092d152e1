"""The forms of rows that several rooms read or write: ids, details, posted transactions, cached assets. No
question about the ledger as a whole is here. Begin with posted.
"""
