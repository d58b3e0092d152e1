"""The schema and what must be true of it: migrations, revision, role, grants, sequences, readiness. First: migrate."""
