"""Connections to PostgreSQL: from a URL to a session that is as it was asked for, pools, and database transactions. No
statement on a table. Begin with database, then pooled.
"""
