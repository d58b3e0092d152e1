"""Large batches beside the event loop: by a writer in a thread of its own, with an event loop of its own.

All work of this process on such a batch is done there: naming, encoding, deciding, hashing, packing rows. A thread in
Python leaves the interpreter to others after SWITCH_SECONDS, so other requests are answered meanwhile, a little later
than otherwise. Small batches never come here: the thread would cost more than they delay others.
"""

import asyncio
import sys
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Protocol, TypeVar

from wallet.errors import NotAtOnce, OutcomeUnknown, StorageUnavailable, WalletError
from wallet.ledger.footprint import singles
from wallet.ledger.outcomes import Outcome
from wallet.ledger.requests import Refund, Request, Single, legs_of

AT_ONCE_LEGS_MAX: Final = 2_000
"""The legs of a batch that is decided in the event loop: those of 500 requests of four legs, some 30 ms of work."""

GROUP_LINES_AT_ONCE_MAX: Final = 10_000
"""The lines of a group that is decided in the event loop. A group of few legs may have more, if its wallets have many
lots; then it is decided again, in the thread.
"""

LEGS_MAX: Final = 100
"""The most legs of one movement."""

SWITCH_SECONDS: Final = 0.001
"""How long a thread keeps the interpreter while another one waits for it; Python's default is five times as long."""

Result = TypeVar("Result")


class Writer(Protocol):
    """Commits a batch: a BatchWriter, or a wrapper around one."""

    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome | WalletError]: ...

    async def close(self) -> None: ...


class ThreadWriter:
    """A writer that lives in a thread, as seen from the event loop of the service.

    It commits one batch at a time: two threads that decide would take the interpreter from each other, while both hold
    wallets. The thread begins with the first batch.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._is_free = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome | WalletError]:
        """As BatchWriter.commit. Cancelling this cancels the commit in the thread."""
        async with self._is_free:
            if self._loop is None:
                self._loop = _loop_in_a_thread()
            return await _there(self._writer.commit(batch), self._loop)

    async def close(self) -> None:
        """Close the connection and end the thread."""
        loop, self._loop = self._loop, None
        if loop is not None:
            await _there(self._writer.close(), loop)
            loop.call_soon_threadsafe(loop.stop)


class SizedWriter:
    """Commits each batch by the writer for its size. Several of these may share the writer in the thread."""

    def __init__(self, at_once: Writer, in_thread: Writer) -> None:
        self._at_once = at_once
        self._in_thread = in_thread

    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome | WalletError]:
        """As BatchWriter.commit."""
        is_large = sum(map(_legs_at_most, singles(batch))) > AT_ONCE_LEGS_MAX
        if is_large:
            return await self._in_thread.commit(batch)
        answers = await self._at_once.commit(batch)
        if not any(isinstance(answer, NotAtOnce) for answer in answers):
            return answers
        return [
            await self._beside(request) if isinstance(answer, NotAtOnce) else answer
            for request, answer in zip(batch, answers, strict=True)
        ]

    async def _beside(self, request: Request) -> Outcome | WalletError:
        try:
            return (await self._in_thread.commit([request]))[0]
        except (StorageUnavailable, OutcomeUnknown) as error:
            # The requests before this group are decided, and keep their answers.
            return error

    async def close(self) -> None:
        await self._at_once.close()
        await self._in_thread.close()


def _legs_at_most(request: Single) -> int:
    # A refund mirrors the legs of its original, which is not loaded yet.
    return LEGS_MAX if type(request) is Refund else legs_of(request)


async def _there(work: Coroutine[Any, Any, Result], loop: asyncio.AbstractEventLoop) -> Result:
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


def _loop_in_a_thread() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()

    def run() -> None:
        try:
            loop.run_forever()
        finally:
            loop.close()

    sys.setswitchinterval(SWITCH_SECONDS)
    # A daemon, so that the process can end when it has given up waiting for the thread.
    threading.Thread(target=run, name="large batches", daemon=True).start()
    return loop
