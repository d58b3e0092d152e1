"""Questions that change nothing: lists, balances, statements, a wallet at an instant. Who may ask is the service's.
Begin with walks.
"""
