"""HTTP: bytes in, bytes out. The meaning of a movement is decided in service/ and ledger/, not here.

A request passes server/ (bytes, bounds), edge/ (key, time limit, direct and fast lane) and, off these lanes, the
framework with routes/. Movements are in operations/, batches and imports in bulk/, the wire format in wire/, pages
without a key in open/, the OpenAPI document in document/. Begin with edge/edge for the path of a request, application
for the routes.
"""
