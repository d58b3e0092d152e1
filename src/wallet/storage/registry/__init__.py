"""Users, wallets, assets, programmes, keys and administrative acts: what is created and changed row by row, and
is no movement. Begin with resources.
"""
