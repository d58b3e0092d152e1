"""Who may do and see what: keys, scopes, ownership, permissions, masks, administrative acts, and the lists of bound
keys. Begin with permissions.
"""
