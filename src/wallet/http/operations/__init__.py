"""Movements and wallet changes as HTTP has them, the same for both lanes, batches and imports: bodies in, answers out.
Begin with operation, kinds and perform.
"""
