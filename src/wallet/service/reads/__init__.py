"""Lists, balances, statements and receipts as every edge asks for them: pages, cursors, filters. Begin with lists."""
