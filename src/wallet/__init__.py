"""A wallet service: a small pure ledger, wrapped by one writer that commits in groups, wrapped by thin edges."""

from importlib.metadata import version

__version__ = version("wallet-service")
