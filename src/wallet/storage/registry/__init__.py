"""What is no movement and is written row by row: users, wallets, assets, programmes, keys, administrative acts. Begin
with resources.
"""
