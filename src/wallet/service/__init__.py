"""The use cases that HTTP and the command line call: who may do what, when, and together with what. No HTTP, no
SQL, and no rule about money.

writes/ brings requests to a committed batch; access/ has callers, keys, rates, and what each caller may do and see;
reads/ has lists, balances, statements and receipts; due/ posts what falls due; keepers/ has the background work of the
leader. Begin with wallet_service, which holds all use cases.
"""
