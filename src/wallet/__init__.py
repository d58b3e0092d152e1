"""A wallet service. Each floor imports only the floors below it.

cli/ and bootstrap start it; http/ turns bytes into calls; service/ decides who may do what, and when; storage/ holds
all SQL; ledger/ holds the money rules and does no IO. Begin with bootstrap, which connects the parts.
"""

from importlib.metadata import version

__version__ = version("wallet-service")
