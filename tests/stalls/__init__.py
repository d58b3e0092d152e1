"""The largest request of every route, and how long it keeps the event loop from everybody else."""
