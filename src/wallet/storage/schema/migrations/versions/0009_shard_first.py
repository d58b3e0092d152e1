"""Applies the .sql file of the same name. Every revision's Python is these same lines."""

from wallet.storage.schema.upgrade import revision_beside

revision, down_revision, upgrade, downgrade = revision_beside(__file__)
