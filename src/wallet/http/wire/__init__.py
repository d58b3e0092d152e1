"""The wire format: bodies decoded, queries and headers read, answers encoded, fields, instants, errors as problems.

No route, movement or caller is known here. Begin with decoding (bodies). query reads what a request says beside its
body: parameters, Idempotency-Key, Content-Type. problems has the table from error code to HTTP status; failures
chooses the code of an exception or a refusal.
"""
