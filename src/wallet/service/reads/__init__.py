"""Lists, balances, statements and receipts, as HTTP and the command line ask for them: pages, cursors, filters. The SQL
is in storage/reads; access/ decides what a bound key may see.

Begin with lists. pages has pages and their bounds, filters the allowed filters; receipts issues and signs receipts.
"""
