"""The outermost layer of the application: authentication, CORS, scopes of routes, the time limit of an answer,
the direct lane and the fast lane, and the record of administrative acts. It carries out no operation.

Begin with edge. authentication finds the caller, needs checks the caller's scopes, deadlines limits the time.
"""
