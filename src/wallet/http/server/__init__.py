"""The HTTP server: processes, sockets, the protocol of a connection, and its bounds (it answers 408, 413, 431).

It serves any ASGI application, and requests that an application takes directly (wire/direct); nothing here knows
wallets, keys or routes. Begin with serve (processes), then bounded_protocol (one connection). request_meter bounds the
size of a head (431) and a body (413), body_budget the memory of all bodies.
"""
