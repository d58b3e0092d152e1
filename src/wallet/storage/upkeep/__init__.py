"""The keepers' part of storage: leadership, the watermark, snapshots, pruning, statistics, what is due, the sandbox
clock. When they run is the service's. Begin with leadership.
"""
