"""The whole application in this process, and a client that talks to it as over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
from uvicorn.server import ServerState

from wallet.bootstrap import make_app
from wallet.http.edge.lifespan import Lifespan
from wallet.http.server.serve import Server
from wallet.http.wire.problems import PROBLEMS
from wallet.settings import Settings

# The demo data.
MIKASA, EREN = "e2e2e2e2-e2e2-e2e2-e2e2-e2e2e2e2e2e2", "e1e1e1e1-e1e1-e1e1-e1e1-e1e1e1e1e1e1"
MIKASA_WALLET = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"  # GOLD
EREN_WALLET = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"  # DIAMOND
GOLD_TREASURY = "00000000-0000-0000-0000-000000000000"
GOLD_REVENUE = "00000000-0000-0000-0000-000000000003"
NOBODY = "99999999-9999-9999-9999-999999999999"

LANES: Mapping[str, Mapping[str, Any]] = {
    # Without a server, nothing bounds a body: the tests of decoding send what is larger than the default.
    "direct": {"is_served": True, "body_bytes_max": 16 * 1024 * 1024},
    "fast lane": {},
    "framework": {"fast_lane": False},
}
"""The ways to a hot operation, as arguments of running_api."""

Headers = Mapping[str, str] | Sequence[tuple[str, str]]


def new_reference() -> str:
    return f"ref-{uuid4()}"


class Api:
    """The requests of a client. Every answer that is no success is checked to be a problem as promised."""

    def __init__(self, app: Lifespan, *, port: int | None = None) -> None:
        """port: of this machine, where the application is served; None: it is called without a server."""
        self.app = app
        self._is_served = port is not None
        if port is None:
            self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
        else:
            # No measurement: it ends a test that would hang.
            self.http = httpx.AsyncClient(base_url=f"http://localhost:{port}", timeout=60, trust_env=False)

    async def send(
        self, method: str, path: str, content: bytes | None = None, *, headers: Headers | None = None
    ) -> httpx.Response:
        """Any request. A body is declared as JSON unless `headers` declare it otherwise."""
        given = list(headers.items() if isinstance(headers, Mapping) else headers or ())
        if content is not None and not any(name.lower() == "content-type" for name, _ in given):
            given.append(("content-type", "application/json"))
        # Blanks around a value are no part of it on the wire, and this client refuses to send them.
        encoded = [
            (name.encode(), (value.strip() if self._is_served else value).encode("latin-1")) for name, value in given
        ]
        answer = await self.http.request(method, path, content=content, headers=encoded)
        if answer.status_code >= 400 and method != "HEAD":
            check_problem(answer)
        return answer

    async def get(self, path: str, *, headers: Headers | None = None) -> httpx.Response:
        return await self.send("GET", path, headers=headers)

    async def post(self, path: str, body: Any, *, headers: Headers | None = None) -> httpx.Response:
        return await self.send("POST", path, httpx.Request("POST", "http://x", json=body).content, headers=headers)

    async def patch(self, path: str, body: Any, *, headers: Headers | None = None) -> httpx.Response:
        return await self.send("PATCH", path, httpx.Request("PATCH", "http://x", json=body).content, headers=headers)

    async def json(self, path: str) -> Any:
        """The body of what must be there."""
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def made(self, path: str, body: Any) -> Any:
        """The body of what must be made, or must happen, for the first time."""
        answer = await self.post(path, body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def figures(self) -> str:
        """The metrics as they are now; the page of them may be a second old."""
        return self.app.exposition().decode()

    async def wallet(self, balance: int = 0, *, asset_code: str = "GOLD") -> str:
        """The id of a new wallet with something in it."""
        wallet_id: str = (await self.made("/wallets", {"asset_code": asset_code}))["id"]
        if balance:
            await self.moved("topup", wallet_id, balance, asset_code=asset_code)
        return wallet_id

    async def moved(self, action: str, wallet_id: str, amount: int, *, asset_code: str = "GOLD") -> Any:
        """A top-up, bonus or spend that must be accepted."""
        body = {"reference_id": new_reference(), "amount": amount, "asset_code": asset_code}
        return await self.made(f"/wallets/{wallet_id}/{action}", body)

    async def balance(self, wallet_id: str) -> int:
        balance: int = (await self.json(f"/wallets/{wallet_id}/balance"))["balance"]
        return balance


def check_problem(answer: httpx.Response) -> None:
    """Assert that this is a problem as promised (RFC 9457), with a code of the table and its status."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    status, title, applied, retry = PROBLEMS[body["code"]]
    expected = {
        "type": f"/docs/errors#{body['code']}", "title": title, "status": status, "applied": applied, "retry": retry,
    }  # fmt: skip
    assert {name: body[name] for name in expected} == expected
    assert answer.status_code == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"]
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    assert ("www-authenticate" in answer.headers) == (status == 401)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    return answer.status_code, answer.json()["code"]


def fields_of(answer: httpx.Response) -> list[str]:
    """The fields that a problem complains of."""
    return [each["field"] for each in answer.json()["errors"]]


@asynccontextmanager
async def running_api(
    database_url: str, *, is_served: bool = False, guide: Path | None = None, **settings: Any
) -> AsyncIterator[Api]:
    """The application on this database, started, with its client; ended as the server ends it.

    In development mode, where no key is needed, unless `settings` say otherwise. is_served: over a socket, by the
    server's own protocol. guide: the folder of a documentation site.
    """
    chosen = Settings(**{"database_url": database_url, "development": True, **settings})
    app = make_app(chosen, guide=guide)
    told: asyncio.Queue[Any] = asyncio.Queue()
    said: asyncio.Queue[Any] = asyncio.Queue()
    living = asyncio.create_task(app({"type": "lifespan"}, told.get, said.put))
    await told.put({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    try:
        if is_served:
            async with _served(app, chosen) as port, (api := Api(app, port=port)).http:
                yield api
        else:
            yield Api(app)
    finally:
        await told.put({"type": "lifespan.shutdown"})
        await living


@asynccontextmanager
async def _served(app: Lifespan, settings: Settings) -> AsyncIterator[int]:
    """The port where connections are taken by the server's protocol, on the loop of the test."""
    config = Server(settings, app, on_started=lambda: None).config
    config.load()
    state = ServerState()

    def connection() -> asyncio.Protocol:
        made: asyncio.Protocol = cast("Any", config.http_protocol_class)(
            config=config, server_state=state, app_state={}
        )
        return made

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in list(state.connections):
            cast("Any", each).transport.abort()
