"""Administrative acts: each is recorded before it is carried out, and its answer afterwards. An act that cannot be
recorded must not be carried out.
"""

import logging
import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from wallet.errors import WalletError
from wallet.service.access.callers import Caller
from wallet.service.access.keys import KEY
from wallet.service.json_numbers import as_written
from wallet.service.reads.pages import FIRST_PAGE, Page, PageRequest, Pages
from wallet.storage.registry.acts import Act, ActStore, NewAct

ASKED_LENGTH_MAX: Final = 16_384
"""The length of a recorded body. Every act refuses a longer body, which is recorded as null."""
SUBJECT_LENGTH_MAX: Final = 255

_SECRET: Final = re.compile(KEY.pattern.decode())
_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(float_hook=as_written).decode

_log = logging.getLogger(__name__)


class Acts:
    """The record of administrative acts. Methods raise StorageUnavailable."""

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
        """Record that the caller asks for this; answers the id of the act. `asked`: see canonical(). `subject`:
        text.
        """
        if subject is not None:
            subject = _storable(subject)
        return await self._store.asked(
            NewAct(
                actor=caller.name, act=act, key_id=caller.key_id, subject=subject, asked=asked, request_id=request_id
            )
        )

    async def answered(self, act_id: UUID, status: int) -> None:
        """Record the status of an act's answer. Raises nothing: the act is done, and may stay without a status."""
        try:
            await self._store.answered(act_id, status)
        except WalletError as error:
            _log.error("the answer %d to act %s is not written: %s", status, act_id, error)

    async def acts(self, *, before: UUID | None = None, limit: int) -> Sequence[Act]:
        """Acts, newest first."""
        return await self._store.acts(before=before, limit=limit)


class ActPages:
    """Acts by the page."""

    def __init__(self, acts: Acts, pages: Pages) -> None:
        self._acts = acts
        self._pages = pages

    async def acts(self, page: PageRequest = FIRST_PAGE) -> Page[Act]:
        """A page of acts, newest first."""

        async def rows(before: UUID | None, limit: int) -> Sequence[Act]:
            return await self._acts.acts(before=before, limit=limit)

        return await self._pages.by_id("admin_acts", {}, page, rows)


def _storable(text: str) -> str:
    """The text in a form that the database can store, whatever a client has put into a path."""
    return _SECRET.sub(r"wlt_\1_…", text.encode(errors="replace").decode().replace("\x00", "\ufffd"))[
        :SUBJECT_LENGTH_MAX
    ]


def canonical(body: bytes) -> str | None:
    """A body as it is recorded: canonical JSON without secrets. None for a body that no act accepts."""
    try:
        text = _encode(_decode(body)).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    # A key in the wrong place of a body is a secret nevertheless.
    text = _SECRET.sub(r"wlt_\1_…", text)
    return text if len(text) <= ASKED_LENGTH_MAX else None
