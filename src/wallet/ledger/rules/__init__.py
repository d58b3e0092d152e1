"""The refusals: one function "first_refusal_…" for each kind of request. It reads the book and returns the first
refusal in the order of RefusalCode, or None, and changes nothing. References are compared in apply.

Begin with posts, then shared (the checks that several kinds have in common: status, funds, limits, conditions).
"""
