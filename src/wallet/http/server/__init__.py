"""The HTTP server: processes, sockets, the protocol of a connection, and its bounds (408, 413 and 431 are made here).

It serves any ASGI application; nothing here knows wallets, keys or routes. Begin with serve (processes), then
bounded_protocol (one connection); request_meter bounds the sizes of heads and bodies, body_budget their sum.
"""
