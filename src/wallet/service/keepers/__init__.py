"""Background work that one process, the leader, does for all: moving the watermark, sealing the audit chain,
snapshots, pruning. The SQL of each task is in storage/upkeep and storage/chain. Begin with leader.
"""
