"""The schema and its condition: migrations, revision, role, grants, sequences, readiness. schema.sql is the whole
current schema. Begin with migrate (the lock and the errors around upgrade, which applies the migrations) and setup
(checks a database at a start).
"""
