"""A request as operations take it, from every lane."""

from typing import NamedTuple

from wallet.http.wire.query import Headers
from wallet.service.access.callers import Caller


class Asked(NamedTuple):
    """A request without its method and path."""

    body: bytes
    caller: Caller
    headers: Headers
    query: bytes
    request_id: str
