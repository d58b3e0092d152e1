"""The schema and its condition: migrations, revision, role, grants, sequences, readiness. schema.sql is the whole
current schema. Begin with migrate (changes a database) and setup (checks it at a start).
"""
