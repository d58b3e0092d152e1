"""The command line `wallet`: one module for each command, listed in main, and what several commands share (options,
database, secret_files). A command calls service/ and storage/; it holds no rule of the ledger. Begin with main.
"""
