"""The laws of the ledger, checked over all of it. Begin with ledger; chain checks the audit chain."""
