"""The use cases: what every edge (HTTP, command line) calls. Knows storage and ledger, no transport."""
