"""The PostgreSQL server that `wallet dev` and the tests start: its data folder, binaries, system user and processes.

No connection is opened here, and nothing in the service depends on this package. Begin with server.
"""
