"""The audit chain in the database: leaves of what a batch wrote, links, and the evidence for receipts. The format is
ledger.audit's. Begin with leaves.
"""
