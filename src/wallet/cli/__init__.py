"""The command line `wallet`: one module for each command, and what several commands share (options, database,
secret_files). A command calls service/ and storage/; it holds no rule of the ledger. Begin with main.
"""
