"""Questions that change nothing: lists, balances, statements, a wallet at an instant. service/access decides who may
ask.

Begin with resources (users, wallets, assets) and walks (lists of transactions).
"""
