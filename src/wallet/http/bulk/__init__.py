"""Many movements in one call: POST /batches, and POST /import, which streams. The fields of an operation are in
operations/.

Begin with batches or imports. lines cuts a stream into lines, items decodes and answers one item, chunks decides many.
"""
