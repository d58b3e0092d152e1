"""Answers the hot operations by calls: no task, no ASGI, one write as soon as the outcome is there.

The lane takes a request only if it is plainly a hot operation and its caller is certain to be let in. Every other
request goes on to the edge through ASGI before anything was done, and is answered there from the beginning. The same
functions decide and write on all ways.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from wallet.http.edge.authentication import CALLER, Authentication, FindsCaller
from wallet.http.edge.deadlines import Deadlines, too_late
from wallet.http.edge.hot_routes import BALANCE, OF_A_HOLD, OF_A_WALLET, WITHOUT_ID, HotRoute, ends
from wallet.http.operations.balances import current_answer
from wallet.http.operations.perform import Movements
from wallet.http.wire.asgi import is_request_id, new_request_id
from wallet.http.wire.direct import DirectOperation, Reply
from wallet.http.wire.encoding import Answer
from wallet.http.wire.failures import failure
from wallet.ledger.model import AssetId
from wallet.ledger.outcomes import Outcome, Refused
from wallet.ledger.requests import Single
from wallet.service.access.callers import Caller
from wallet.service.wallet_service import WalletService
from wallet.storage.reads.balances import Balance
from wallet.storage.rows.ids import parse_id

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


_OF_WALLETS: Final = {end.encode(): route for end, route in ends(OF_A_WALLET).items()}
_OF_HOLDS: Final = {end.encode(): route for end, route in ends(OF_A_HOLD).items()}
_WITHOUT_ID: Final = {path.encode(): route for path, route in WITHOUT_ID.items()}

_WALLETS: Final = b"/wallets/"
_HOLDS: Final = b"/holds/"
_ID_CHARACTERS: Final = 36
_WALLET_END: Final = len(_WALLETS) + _ID_CHARACTERS
_HOLD_END: Final = len(_HOLDS) + _ID_CHARACTERS

# A request with one of these headers goes through ASGI.
_UNUSUAL: Final = frozenset({b"expect", b"content-encoding", b"upgrade"})


class _Said(NamedTuple):
    """The headers as far as the lane needs them. entry: finds the caller. has_key: there is an Idempotency-Key."""

    entry: FindsCaller
    request_id: bytes | None
    has_key: bool


class DirectLane:
    """The direct lane of one process.

    told: further headers of every answer. has_cors: a request that names its origin goes through ASGI.
    """

    def __init__(
        self,
        service: WalletService,
        movements: Movements,
        authentication: Authentication,
        deadlines: Deadlines,
        *,
        told: Iterable[tuple[bytes, bytes]] = (),
        has_cors: bool = False,
    ) -> None:
        self.service = service
        self.movements = movements
        self.deadlines = deadlines
        self.told = tuple(told)
        self._authentication = authentication
        self._has_cors = has_cors

    def connect(self) -> "HotConnection":
        return HotConnection(self)

    def said(self, headers: Headers) -> _Said | None:
        """The headers as far as the lane needs them. None: the request goes through ASGI."""
        authorization = request_id = None
        has_key = False
        for name, value in headers:
            if name == b"authorization":
                if authorization is not None:
                    return None
                authorization = value
            elif name == b"x-request-id":
                if request_id is None and is_request_id(value):
                    request_id = value
            elif name == b"idempotency-key":
                has_key = True
            elif name in _UNUSUAL or (name == b"origin" and self._has_cors):
                return None
        try:
            entry = self._authentication.entry(authorization, headers)
        except Exception:
            return None
        return _Said(entry, request_id, has_key)


class HotConnection:
    """Remembers the headers of the last request, because clients send the same ones again and again."""

    __slots__ = ("_headers", "_lane", "_said")

    def __init__(self, lane: DirectLane) -> None:
        self._lane = lane
        self._headers: Headers = ()
        self._said: _Said | None = None

    def operation(self, method: str, target: bytes, headers: Headers) -> DirectOperation | None:
        route, id_text = _route(method, target)
        if route is None:
            return None
        if headers != self._headers:
            self._headers, self._said = headers, self._lane.said(headers)
        said = self._said
        if said is None:
            return None
        if route is not BALANCE:
            return _Movement(self._lane, route, said, id_text, headers)
        wallet_id = None if said.has_key or id_text is None else parse_id(id_text)
        return None if wallet_id is None else _BalanceOf(self._lane, route, said, wallet_id)


def _route(method: str, target: bytes) -> tuple[HotRoute | None, str | None]:
    """The route of a target without a query, and the id that it has in it."""
    if method == "POST":
        if target.startswith(_WALLETS):
            return _OF_WALLETS.get(target[_WALLET_END:]), target[len(_WALLETS) : _WALLET_END].decode("latin-1")
        if target.startswith(_HOLDS):
            return _OF_HOLDS.get(target[_HOLD_END:]), target[len(_HOLDS) : _HOLD_END].decode("latin-1")
        return _WITHOUT_ID.get(target), None
    if method == "GET" and target[_WALLET_END:] == b"/balance" and target.startswith(_WALLETS):
        return BALANCE, target[len(_WALLETS) : _WALLET_END].decode("latin-1")
    return None, None


class _Direct:
    """One request of the lane, from its beginning to its answer."""

    __slots__ = ("_is_over", "_lane", "_reply", "_route", "_said", "begun_at")

    is_arriving = False
    _reply: Reply

    def __init__(self, lane: DirectLane, route: HotRoute, said: _Said) -> None:
        self._lane = lane
        self._route = route
        self._said = said
        self._is_over = False

    def done(self) -> bool:
        """Whether the answer was made already. It is counted even if the client hung up."""
        return self._is_over

    def give_up(self) -> None:
        """Called by Deadlines when this has taken too long."""
        self._fail(too_late(moves_money=bool(self._route.op)), moves_money=False)

    def _caller(self, reply: Reply) -> Caller | None:
        """The caller. None: the request went on through ASGI, where the caller is looked up or refused."""
        self.begun_at = time.perf_counter()
        try:
            caller = self._said.entry()
        except Exception:
            caller = None
        if caller is None:
            reply.go_by_asgi({})
        elif caller.is_bound or caller.scopes.isdisjoint(self._route.needs.scopes):
            reply.go_by_asgi({CALLER: caller})
        else:
            self._reply = reply
            return caller
        return None

    def _let_go(self) -> Reply:
        """The reply, for its last use. A request that kept it would be a cycle, left to the collector."""
        self._is_over = True
        self._lane.deadlines.end(self)
        reply = self._reply
        del self._reply
        return reply

    def _fail(self, error: BaseException, *, moves_money: bool) -> None:
        request_id = self._said.request_id or new_request_id()
        self._answer(failure(error, request_id=request_id.decode(), moves_money=moves_money), request_id)

    def _answer(self, answer: Answer, request_id: bytes) -> None:
        if self._is_over:
            return
        lane = self._lane
        lane.service.telemetry.request(self._route.template, answer.status, time.perf_counter() - self.begun_at)
        self._let_go().answer(answer, request_id=request_id, last=lane.told)


class _BalanceOf(_Direct):
    """A question for the balance of one wallet. It receives the balance itself."""

    __slots__ = ("_caller_here", "_wallet_id")

    def __init__(self, lane: DirectLane, route: HotRoute, said: _Said, wallet_id: UUID) -> None:
        super().__init__(lane, route, said)
        self._wallet_id = wallet_id

    def begin(self, body: bytes, reply: Reply) -> None:
        caller = self._caller(reply)
        if caller is None:
            return
        self._caller_here = caller
        try:
            self._lane.service.balances.ask(self._wallet_id, self)
        except Exception:
            self._let_go().go_by_asgi({CALLER: caller})
            return
        self._lane.deadlines.add(self)

    def set_result(self, balance: Balance) -> None:
        try:  # Nothing may be raised here: the reader of balances answers others after this one.
            if balance.is_due:
                # The service has to post it before it shows the balance.
                self._let_go().go_by_asgi({CALLER: self._caller_here})
                return
            self._answer(current_answer(balance), self._said.request_id or new_request_id())
        except Exception as error:
            self._fail(error, moves_money=False)

    def set_exception(self, exception: BaseException) -> None:
        self._fail(exception, moves_money=False)


class _Movement(_Direct):
    """One movement. It receives the outcome itself."""

    __slots__ = ("_headers", "_loading", "_request", "_target")

    def __init__(self, lane: DirectLane, route: HotRoute, said: _Said, target: str | None, headers: Headers) -> None:
        super().__init__(lane, route, said)
        self._target = target
        self._headers = headers

    def begin(self, body: bytes, reply: Reply) -> None:
        caller = self._caller(reply)
        if caller is None:
            return
        lane = self._lane
        try:
            request = lane.movements.request_at_once(self._route.op, self._target, body, self._headers)
            if request is None or not lane.service.permissions.admits_at_once(caller, request):
                self._let_go().go_by_asgi({CALLER: caller})
                return
            self._request: Single = request
            lane.service.accept(request, self)
        except Exception:
            # Nothing was accepted. The same error comes up on that way, and is answered there.
            self._let_go().go_by_asgi({CALLER: caller})
            return
        lane.deadlines.add(self)

    def set_result(self, outcome: Outcome) -> None:
        try:  # Nothing may be raised here: the committer answers others after this one.
            if isinstance(outcome, Refused):
                self._lane.service.count_refusal(outcome)
            missing = self._lane.movements.missing_assets(outcome)
            if missing:
                # Another process made them. Kept here, because nothing else refers to the task.
                self._loading = asyncio.get_running_loop().create_task(self._answer_when_loaded(outcome, missing))
            else:
                self._answer_outcome(outcome)
        except Exception as error:
            self._fail(error, moves_money=True)

    def set_exception(self, exception: BaseException) -> None:
        self._fail(exception, moves_money=True)

    async def _answer_when_loaded(self, outcome: Outcome, missing: Iterable[AssetId]) -> None:
        try:
            await self._lane.movements.load(missing)
            self._answer_outcome(outcome)
        except Exception as error:
            self._fail(error, moves_money=True)

    def _answer_outcome(self, outcome: Outcome) -> None:
        request_id = self._said.request_id or new_request_id()
        answer = self._lane.movements.answer(self._request, outcome, request_id=request_id.decode())
        self._answer(answer, request_id)
