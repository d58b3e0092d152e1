"""Many movements in one call: POST /batches, and POST /import, which streams. How one item is read and
answered is in operations/.

Begin with batches or imports; both read items, and decide them in chunks.
"""
