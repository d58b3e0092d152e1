"""The audit chain in the database: the leaves of a batch, the links, and the evidence for receipts. The hashed forms
are in ledger/audit. Begin with leaves, then seal.
"""
