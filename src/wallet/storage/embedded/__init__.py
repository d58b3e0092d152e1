"""The PostgreSQL of the command that needs no database server: its folder, binaries, user and processes. Begin with
server.
"""
