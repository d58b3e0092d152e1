"""The outermost layer of the application: authentication, CORS, scopes of routes, the time limit of an answer, the fast
lane, and the record of administrative acts. No operation is carried out here. Begin with edge; authentication finds the
caller, needs checks its scopes.
"""
