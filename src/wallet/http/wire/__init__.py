"""The wire format: bodies decoded, answers encoded, fields, queries, instants, and errors as problems.

No route, movement or caller is known here. Begin with decoding (bodies) and problems (the table from code to status);
failures turns an exception or a refusal into a problem.
"""
