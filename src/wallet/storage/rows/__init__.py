"""The forms of rows that several rooms read or write: ids, details, posted transactions, cached assets. Queries about
the ledger as a whole do not belong here. Begin with posted.
"""
