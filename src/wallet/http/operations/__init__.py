"""The operations that move or reserve money or change a wallet, from a decoded body to an answer: the same
for all lanes, batches and imports. No route and no list is here.

Begin with operation (the record of one operation), kinds (all of them) and perform (from a body's bytes to an answer).
"""
