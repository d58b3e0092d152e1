"""How things are written on the wire: decoding, encoding, fields, queries, instants, problems. Nothing here knows a
route. Begin with decoding.
"""
