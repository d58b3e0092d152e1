"""The money rules. PURE: standard library only; no clock, no ids, no randomness, no logging, no await.

Everything enters as values and leaves as values, so that every rule can be read, tested and proved without a
database or a socket. Rows that pass through here by the thousand are NamedTuples: immutable like a frozen
dataclass, and a fraction of its price to make (docs/adr/0004).
"""
