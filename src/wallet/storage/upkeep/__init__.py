"""The SQL of the keepers: leadership, the watermark, snapshots, pruning, statistics, what is due, the sandbox
clock. When each runs is decided in service/keepers and service/due. Begin with leadership.
"""
