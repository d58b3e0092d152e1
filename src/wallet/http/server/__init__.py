"""From sockets to ASGI: processes, connections, framing, bounds, one answer a request. Nothing here knows a wallet.
Begin with serve, then bounded_protocol.
"""
