"""Users, wallets, assets, programmes, keys and administrative acts: rows that are created and changed one by one, and
that are no movements. Begin with resources.
"""
