"""The use cases that HTTP and the command line call: who may do what, when, and together with what. No HTTP and no SQL.

writes/ brings requests to a committed batch; access/ has callers, keys, scopes and what each may see; reads/ has lists,
balances, statements and receipts; due/ posts what falls due; keepers/ runs the background work of one leader. Begin
with wallet_service, which holds them all.
"""
