"""Faults on purpose: the real service on a real PostgreSQL, broken in every way we know, and what must hold after."""
