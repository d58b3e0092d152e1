"""The money rules, pure: values in, values out. Standard library only; no clock, ids, randomness, logging or await.

apply decides a batch, with its groups and dry runs: it finds replays by reference, posts due steps, asks rules/ for the
first refusal, and lets movements/ change the book. kinds has one record for each kind of request, transaction_types
one for each type that is stored (spending limits, refunds); lots has the draw order; fingerprint tells whether two
requests with one reference are the same; audit and receipt have the hashed forms. Begin with apply, then model and
requests.

Rows that pass through here by the thousand are NamedTuples: immutable like a frozen dataclass, and a fraction of its
price to make (docs/adr/0004).
"""
