"""The effects of accepted requests: one function "move_…" for each kind of request. It changes the book and
cannot refuse.

Begin with posts. due decides what has fallen due at a wallet, such as the expiry of a hold; expiry moves expired lots
to breakage.
"""
