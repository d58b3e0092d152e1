"""The effects of accepted requests: one function "move_…" for each kind of request. It changes the book and
cannot refuse.

Begin with posts. due decides what falls due at a wallet, such as the expiry of a hold; expiry is what an expired lot
does.
"""
