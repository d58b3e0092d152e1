"""Administrative acts: each is written before it is done, and its answer after.

An act that cannot be written must not be done.
"""

import logging
import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from wallet.errors import WalletError
from wallet.service.access.callers import Caller
from wallet.service.access.keys import KEY
from wallet.service.json_numbers import as_written
from wallet.service.reads.cursors import Cursors
from wallet.service.reads.lists import FIRST_PAGE, Page, PageRequest, Reads
from wallet.storage.reads.resources import ReadStore
from wallet.storage.registry.acts import Act, ActStore, NewAct
from wallet.storage.rows.ids import parse_id

ASKED_LENGTH_MAX: Final = 16_384
"""Characters kept of the body of a request. Every act refuses a longer one, and null is kept of it."""
SUBJECT_LENGTH_MAX: Final = 255

_SECRET: Final = re.compile(KEY.pattern.decode())
_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(float_hook=as_written).decode

_log = logging.getLogger(__name__)


class Acts:
    """Raises StorageUnavailable."""

    def __init__(self, store: ActStore) -> None:
        self._store = store

    async def asked(
        self,
        caller: Caller,
        act: str,
        *,
        subject: str | None = None,
        asked: str | None = None,
        request_id: str | None = None,
    ) -> UUID:
        """Write that the caller asks for this; the id of the act. `asked`: see canonical(). `subject`: any text."""
        if subject is not None:
            subject = _storable(subject)
        return await self._store.asked(
            NewAct(
                actor=caller.name, act=act, key_id=caller.key_id, subject=subject, asked=asked, request_id=request_id
            )
        )

    async def answered(self, act_id: UUID, status: int) -> None:
        """Write what came of it. Raises nothing: it is done, and an act without an answer says as much as that."""
        try:
            await self._store.answered(act_id, status)
        except WalletError as error:
            _log.error("the answer %d to act %s is not written: %s", status, act_id, error)

    async def acts(self, *, before: UUID | None = None, limit: int) -> Sequence[Act]:
        """Newest first."""
        return await self._store.acts(before=before, limit=limit)


class ActPages(Reads):
    """Acts by the page."""

    def __init__(self, store: ReadStore, acts: Acts, cursors: Cursors) -> None:
        super().__init__(store, cursors)
        self._acts = acts

    async def acts(self, page: PageRequest = FIRST_PAGE) -> Page[Act]:
        """Newest first."""

        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[Act]:
            return await self._acts.acts(before=parse_id(key[0]) if key else None, limit=limit)

        return await self._page("admin_acts", {}, page, fetch, lambda last: (str(last.id),))


def _storable(text: str) -> str:
    """A text as it can be kept, whatever a client has put into a path."""
    return _SECRET.sub(r"wlt_\1_…", text.encode(errors="replace").decode().replace("\x00", "\ufffd"))[
        :SUBJECT_LENGTH_MAX
    ]


def canonical(body: bytes) -> str | None:
    """A body as it is kept: canonical JSON without secrets. None for what no act can have been asked for with."""
    try:
        text = _encode(_decode(body)).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    # A key that somebody sends where none belongs is a secret all the same.
    text = _SECRET.sub(r"wlt_\1_…", text)
    return text if len(text) <= ASKED_LENGTH_MAX else None
