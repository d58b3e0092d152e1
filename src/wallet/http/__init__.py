"""HTTP: bytes in, bytes out. What a movement means is the service's and the ledger's. Begin with application, or with
edge/edge for the path of a request.
"""
