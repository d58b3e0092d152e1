"""`wallet verify`: checks the laws of the ledger over all rows, and changes nothing. Begin with ledger; chain
checks the audit chain.
"""
