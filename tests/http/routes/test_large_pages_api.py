"""Large pages are written and sent in pieces, and are the same to the byte as if they were not."""

import asyncio
import gzip
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tests.http.client import Api, new_reference
from wallet.http.routes.pages import page_answer, written_page
from wallet.http.routes.shared import PIECE_BYTES_MAX
from wallet.http.wire.encoding import written
from wallet.service.reads.pages import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

METADATA = {"a": "x" * 4000}


@dataclass
class Turns:
    """Counts the turns that others in this process get."""

    taken: int = 0

    async def take(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.taken += 1


class Row(msgspec.Struct):
    amount: int
    metadata: msgspec.Raw
    text: str


@pytest.mark.parametrize("amounts_as_strings", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 200])
async def test_a_page_is_written_row_by_row_to_the_same_bytes(rows: int, amounts_as_strings: bool) -> None:
    data = [Row(at, msgspec.Raw(b'{"amount":1.50}'), "[]" * (64 * 1024)) for at in range(rows)]
    page = Page(data=data, next="[]", has_more=True)
    turns = Turns()
    counting = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    made = await written_page(page, lambda row: row, amounts_as_strings=amounts_as_strings)
    counting.cancel()
    assert made == written(page_answer(page, lambda row: row), amounts_as_strings=amounts_as_strings)
    assert (turns.taken > 0) == (rows > 1), "of 50 MB no machine writes all in one turn"


async def pieces_of(api: Api, path: str, *headers: tuple[bytes, bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
    """The headers and the pieces of an answer as the server is given them."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": query.encode(), "scheme": "http", "http_version": "1.1", "client": None, "server": None,
        "extensions": {}, "headers": [(b"host", b"localhost"), *headers],
    }  # fmt: skip
    sent: list[Any] = []
    asked, ended = asyncio.Event(), asyncio.Event()

    async def receive() -> Any:
        if asked.is_set():
            await asyncio.Event().wait()  # the client stays
        asked.set()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            ended.set()

    answering = asyncio.create_task(api.app(scope, receive, send))
    async with asyncio.timeout(60):
        await ended.wait()
    answering.cancel()
    return dict(sent[0]["headers"]), [each["body"] for each in sent[1:]]


async def test_a_large_page_is_sent_in_pieces_and_compressed_for_who_takes_it(api: Api) -> None:
    wallet = await api.wallet()
    for _ in range(2 * PIECE_BYTES_MAX // 4000):
        body = {"reference_id": new_reference(), "amount": 1, "asset_code": "gold", "metadata": METADATA}
        await api.made(f"/wallets/{wallet}/topup", body)
    path = f"/transactions?wallet_id={wallet}&limit=200"
    headers, pieces = await pieces_of(api, path)
    plain = b"".join(pieces)
    assert headers[b"content-length"] == str(len(plain)).encode()
    assert all(len(each) <= PIECE_BYTES_MAX for each in pieces)
    assert len(msgspec.json.decode(plain)["data"]) == 2 * PIECE_BYTES_MAX // 4000
    headers, pieces = await pieces_of(api, path, (b"accept-encoding", b"gzip"))
    assert headers[b"content-encoding"] == b"gzip"
    assert b"content-length" not in headers
    assert gzip.decompress(b"".join(pieces)) == plain
    answer = await api.send("HEAD", path, headers={"accept-encoding": "identity"})
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(plain)))
