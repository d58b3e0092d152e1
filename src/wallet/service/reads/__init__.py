"""Lists, balances, statements and receipts, as every edge asks for them: pages, cursors, filters. The SQL is in
storage/reads; what a bound key may see is in access/.

Begin with lists. receipts issues and signs receipts; filters has the allowed filters.
"""
