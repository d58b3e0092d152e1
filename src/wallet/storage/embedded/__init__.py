"""The PostgreSQL server that `wallet dev` and the tests start: its data folder, binaries, system user and
processes. The driver is not used here, and no other room of storage/ uses this one. Begin with server.
"""
