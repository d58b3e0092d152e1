"""The keepers' part of storage: leadership, watermark, snapshots, what is due, the sandbox clock. When they run is the
service's. Begin with leadership.
"""
