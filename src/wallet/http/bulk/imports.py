"""POST /import: NDJSON in, NDJSON out, streamed both ways with bounded memory.

    client ─► bytes ─► lines ─► chunks of requests ─► the bulk committer ─► lines ─► client

Lines are read while the chunk before them commits, a bounded number of chunks is under way, and answers are sent in
order as they come. If the client does not read them, its lines are not read: answers fill the connection's buffer,
then the window of chunks stays full, then the body is no longer asked for, and the protocol stops reading from the
socket.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from wallet.errors import OutcomeUnknown, Overloaded, StorageUnavailable, WalletError
from wallet.http.bulk.chunks import AnsweredItem, ItemChunk, read_items
from wallet.http.bulk.items import Items, no_answer, written_item
from wallet.http.bulk.lines import Lines
from wallet.http.edge.authentication import caller_of
from wallet.http.wire.asgi import BODY_STREAM, AsgiScope, BodyStream, ClientGone, Receive, Send
from wallet.http.wire.query import Headers, UnsupportedMediaType, declared_type
from wallet.service.access.key_ring import KeyRing
from wallet.service.wallet_service import WalletService
from wallet.service.writes.bulk import Bulk

CHUNK_BYTES_MAX: Final = 512 * 1024
"""The bytes of lines that are begun together, even if these are few lines."""

CHUNKS_IN_FLIGHT_MAX: Final = 6
"""The chunks of one import in progress: one whose answers are written, two that are being decided, two that wait for
that, and one that waits for lines that it has skipped.
"""

NDJSON: Final = b"application/x-ndjson"

_log = logging.getLogger(__name__)


class ImportSummary(msgspec.Struct, kw_only=True):
    """The last line if the client asks for failures only; without this line the import has not ended."""

    lines: int = 0
    applied: int = 0
    replayed: int = 0
    predicted: int = 0
    failed: int = 0


def ensure_ndjson(headers: Headers) -> None:
    """Raise UnsupportedMediaType unless the body is declared as NDJSON, and not compressed."""
    if declared_type(headers).lower().partition(b";")[0].strip() != NDJSON:
        raise UnsupportedMediaType("The body must be application/x-ndjson.")


class Imports:
    """Lets a bounded number of imports run at once."""

    def __init__(self, service: WalletService) -> None:
        self._bulk = service.bulk
        self._ring = service.ring
        self._items = Items(service)
        self._under_way = 0

    def ensure_room(self) -> None:
        """Raise Overloaded or StorageUnavailable if no import may begin now."""
        if self._bulk.is_closing:
            raise StorageUnavailable("the service is shutting down")
        if self._under_way >= self._bulk.streams_max:
            raise Overloaded(f"{self._under_way} imports are under way already")

    async def run(
        self, scope: AsgiScope, receive: Receive, send: Send, *, amounts_as_strings: bool, failures_only: bool
    ) -> None:
        """One import, from the first byte of its body to the last of its answers. Raises as ensure_room does."""
        self.ensure_room()
        one = _Import(self._bulk, self._ring, self._items, scope, receive, send, amounts_as_strings, failures_only)
        with self._counted():
            await one.run()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


class _Import:
    """Two tasks: one reads lines and begins chunks, the other sends their answers."""

    def __init__(
        self,
        bulk: Bulk,
        ring: KeyRing,
        items: Items,
        scope: AsgiScope,
        receive: Receive,
        send: Send,
        amounts_as_strings: bool,
        failures_only: bool,
    ) -> None:
        self._bulk = bulk
        self._ring = ring
        self._items = items
        self._receive = receive
        self._send = send
        self._request_id: str = scope["request_id"]
        self._caller = caller_of(scope)
        self._amounts_as_strings = amounts_as_strings
        self._failures_only = failures_only
        # Without our protocol (in tests) nobody reads or writes these.
        self._stream: BodyStream = scope.get(BODY_STREAM) or BodyStream()
        self._window = asyncio.Semaphore(CHUNKS_IN_FLIGHT_MAX)
        self._begun: asyncio.Queue[ItemChunk | None] = asyncio.Queue()
        self._lines = Lines()
        self._summary = ImportSummary()
        self._stopped = asyncio.Event()
        self._why_stopped: WalletError | None = None
        self._in_flight = 0
        # After the last chunk: the place of the first line that was not begun, if there is one.
        self._first_not_begun: int | None = None
        self._has_answered = False

    async def run(self) -> None:
        closing = asyncio.create_task(self._stop_when_closing())
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read())
                tasks.create_task(self._answer())
        except BaseExceptionGroup as group:
            error = group.exceptions[0]
            if self._has_answered or not isinstance(error, Exception):
                raise error from None
            # Something may have been applied.
            raise OutcomeUnknown("the import failed; send it again") from error
        finally:
            closing.cancel()

    async def _stop_when_closing(self) -> None:
        await self._bulk.closing()
        self._stop(StorageUnavailable("the service is shutting down"))

    def _stop(self, why: WalletError) -> None:
        """Begin nothing more. The lines that were begun are answered, and then comes `why`."""
        self._why_stopped = self._why_stopped or why
        self._stopped.set()

    # Reading

    async def _read(self) -> None:
        with suppress(ClientGone):
            is_whole = False
            while not is_whole and not self._stopped.is_set():
                is_whole = await self._read_piece()
                while self._lines and not self._stopped.is_set():
                    await self._begin_chunk()
            if self._first_not_begun is None and not (is_whole and not self._lines):
                self._first_not_begun = self._lines.next_place
        self._begun.put_nowait(None)

    async def _read_piece(self) -> bool:
        """Take the bytes of the body that have arrived, and answer whether they were the last."""
        receiving = asyncio.ensure_future(self._receive())
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait((receiving, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                return False
        finally:
            stopped.cancel()
            if not receiving.done():
                receiving.cancel()
        message = receiving.result()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if piece := message.get("body", b""):
            self._lines.feed(piece)
        if message.get("more_body", False):
            return False
        self._lines.end()
        return True

    async def _begin_chunk(self) -> None:
        await self._window.acquire()
        if self._stopped.is_set():
            return
        if self._stream.is_gone:
            raise ClientGone
        try:
            # An import may take very long, and its key may end before.
            await self._ring.ensure_still_in(self._caller)
        except WalletError as error:
            self._stop(error)
            return
        lines = self._lines.take(lines_max=self._bulk.chunk_items_max, bytes_max=CHUNK_BYTES_MAX)
        items = await read_items(self._items, lines, self._caller)
        self._stream.busy = True
        chunk = await ItemChunk.begin(self._bulk, items)
        if chunk.refusal is not None:
            self._first_not_begun = items[0].place
            self._stop(chunk.refusal)
            return
        self._in_flight += 1
        self._begun.put_nowait(chunk)

    # Answering

    async def _answer(self) -> None:
        while (chunk := await self._begun.get()) is not None:
            answered = await chunk.answered(
                self._items,
                self._caller,
                request_id=self._request_id,
                amounts_as_strings=self._amounts_as_strings,
                failures_only=self._failures_only,
            )
            if 2 * sum(answer.status == 503 for _, answer in answered) > len(answered):
                # The database is away. To go on would only answer the same to everything, out of order when it is back.
                # Not all: a chunk's lines may be in several batches, of which one was decided before or after.
                self._stop(StorageUnavailable("most lines of a chunk were not decided"))
            await self._send_lines(self._written(answered))
            self._in_flight -= 1
            self._stream.busy = self._in_flight > 0
            self._window.release()
        await self._send_lines(self._last_line(), is_last=True)

    def _written(self, answered: list[AnsweredItem]) -> bytes:
        summary, lines = self._summary, []
        summary.lines += len(answered)
        for item, answer in answered:
            if answer.status >= 400:
                summary.failed += 1
            elif self._failures_only:
                summary.applied += answer.status == 201
                summary.replayed += answer.replayed
                summary.predicted += answer.status == 200 and not answer.replayed
                continue
            lines.append(written_item(item.place, item.reference_id, answer))
        lines.append(b"")
        return b"\n".join(lines)

    def _last_line(self) -> bytes:
        if self._why_stopped is not None and self._first_not_begun is not None:
            # The only line with such a status and no reference.
            answer = no_answer(self._why_stopped, request_id=self._request_id)
            return written_item(self._first_not_begun, None, answer) + b"\n"
        if not self._failures_only:
            return b""
        return msgspec.json.encode(self._summary) + b"\n"

    async def _send_lines(self, lines: bytes, *, is_last: bool = False) -> None:
        if not lines and not is_last:
            return
        if not self._has_answered:
            self._has_answered = True
            await self._send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", NDJSON)]})
        await self._send({"type": "http.response.body", "body": lines, "more_body": not is_last})
