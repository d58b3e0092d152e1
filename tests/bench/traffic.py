"""The contents of the load: request bytes for each kind of run, built ahead as far as possible.

A reference is 36 random characters, like the random UUIDs that clients send, so that the unique index on it is
hit all over and not only at its right edge. `key`: what each request comes in with.
"""

import random
from collections.abc import Callable, Iterator, Sequence

AMOUNT = 100
"""Of every measured movement, in minor units."""

_HEAD = "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
_BODY_HEAD = "content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
_REFERENCE_CHARACTERS = 36


def _posting_parts(path: str, fields: str, key: str) -> tuple[bytes, bytes]:
    """The bytes before and after the reference of a POST whose other fields are `fields` (JSON, no braces)."""
    before, after = '{"reference_id": "', f'", {fields}}}'
    length = len(before) + _REFERENCE_CHARACTERS + len(after)
    head = _HEAD.format(method="POST", path=path, key=key) + _BODY_HEAD.format(length=length)
    return (head + before).encode(), after.encode()


def movements(
    verb: str, wallet_ids: Sequence[str], asset_code: str, generator: random.Random, *, key: str
) -> Callable[[], bytes]:
    """`verb` (topup, bonus or spend) of AMOUNT on a random one of the wallets, a new reference each time."""
    fields = f'"amount": {AMOUNT}, "asset_code": "{asset_code}"'
    heads = [_posting_parts(f"/wallets/{wallet_id}/{verb}", fields, key)[0] for wallet_id in wallet_ids]
    _, after = _posting_parts("/", fields, key)
    count, pick, bits = len(heads), generator.random, generator.getrandbits

    def next_request() -> bytes:
        return heads[int(pick() * count)] + b"%036x" % bits(144) + after

    return next_request


def fundings(
    wallet_ids: Sequence[str], asset_code: str, amount: int, generator: random.Random, *, key: str
) -> Callable[[], bytes]:
    """One top-up of `amount` for each of the wallets, in order; StopIteration after the last."""
    fields = f'"amount": {amount}, "asset_code": "{asset_code}"'

    def each() -> Iterator[bytes]:
        for wallet_id in wallet_ids:
            before, after = _posting_parts(f"/wallets/{wallet_id}/topup", fields, key)
            yield before + b"%036x" % generator.getrandbits(144) + after

    return each().__next__


def random_pairs(
    wallet_ids: Sequence[str], asset_code: str, generator: random.Random, *, key: str
) -> Callable[[], bytes]:
    """A transfer of AMOUNT between two different random wallets, a new reference each time."""
    count, pick, bits = len(wallet_ids), generator.random, generator.getrandbits
    pattern = (
        f'", "from_wallet_id": "{"0" * 36}", "to_wallet_id": "{"0" * 36}", '
        f'"amount": {AMOUNT}, "asset_code": "{asset_code}"}}'
    )
    length = len('{"reference_id": "') + _REFERENCE_CHARACTERS + len(pattern)
    head = _HEAD.format(method="POST", path="/transfers", key=key) + _BODY_HEAD.format(length=length)
    before = (head + '{"reference_id": "').encode()
    sources = [f'", "from_wallet_id": "{wallet_id}", "to_wallet_id": "'.encode() for wallet_id in wallet_ids]
    targets = [f'{wallet_id}", "amount": {AMOUNT}, "asset_code": "{asset_code}"}}'.encode() for wallet_id in wallet_ids]

    def next_request() -> bytes:
        source, step = int(pick() * count), 1 + int(pick() * (count - 1))
        return before + b"%036x" % bits(144) + sources[source] + targets[(source + step) % count]

    return next_request


def balances(wallet_ids: Sequence[str], generator: random.Random, *, key: str) -> Callable[[], bytes]:
    """The balance of a random one of the wallets."""
    requests = [
        (_HEAD.format(method="GET", path=f"/wallets/{wallet_id}/balance", key=key) + "\r\n").encode()
        for wallet_id in wallet_ids
    ]
    count, pick = len(requests), generator.random
    return lambda: requests[int(pick() * count)]
