"""Connections to PostgreSQL: the database URL, TLS, sessions, pools, database transactions, and the driver's
errors. No statement here names a table of the ledger.

Begin with database (one connection, and errors translated), then pooled (questions). database_url parses the URL;
destination gives it its meaning.
"""
