"""The benchmark: the plain design by pgbench and the service over HTTP, on one PostgreSQL, in one run.

`python -m tests.bench` runs it and leaves `results.json` and `report.html` in `bench-results/`.
A figure is a ratio between alternating runs, or CPU time per request.
"""
