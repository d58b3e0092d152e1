"""API keys: the form of a key, and how keys are made, listed and revoked. key_ring authenticates requests by them.

A key is `wlt_`, a prefix that identifies it in look-ups and in conversation, and 256 random bits. It is shown once.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from wallet.errors import FieldError, Malformed, NotFound
from wallet.ledger.model import ORIGIN_API, WalletId
from wallet.service.access.callers import BINDABLE, Scope
from wallet.service.reads.pages import FIRST_PAGE, Page, PageRequest, Pages
from wallet.storage.registry.keys import ApiKey, KeyStore, KeyTerms
from wallet.storage.rows.ids import parse_id

PREFIX_LENGTH: Final = 12
SECRET_BYTES: Final = 32
WALLETS_MAX: Final = 100
"""How many wallets a key may be bound to."""
EXPIRES_IN_DAYS_MAX: Final = 3650
REQUESTS_PER_SECOND_MAX: Final = 1_000_000
NAME_LENGTH_MAX: Final = 255

KEY: Final = re.compile(rb"wlt_([a-z2-7]{12})_[A-Za-z0-9_-]{43}")
"""A key, with its prefix as a group."""

_DAY: Final = 24 * 3600
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")
_COPIED: Final = "Is copied from the key that is replaced."


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """A request for a key. With `replaces`, an id, the new key copies the name, scopes, binding and origin of that key,
    and its requests_per_second unless another is given.
    """

    name: str | None = None
    scopes: Sequence[Scope] = ()
    user_id: UUID | None = None
    wallet_ids: Sequence[WalletId] | None = None
    expires_in_days: int | None = None
    requests_per_second: int | None = None
    replaces: UUID | None = None


class MadeKey(NamedTuple):
    """A new key. `text` is the key itself, which nobody can show again."""

    key: ApiKey
    text: str


class Keys:
    """Methods raise NotFound, Malformed, StorageUnavailable; those that change something also OutcomeUnknown."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def create(self, asked: KeyRequest) -> MadeKey:
        """A new key. The one that it replaces stays valid until it is revoked."""
        check(asked)
        terms = _terms(asked) if asked.replaces is None else _copied(await self._store.key(asked.replaces), asked)
        prefix = base64.b32encode(secrets.token_bytes(8)).decode()[:PREFIX_LENGTH].lower()
        text = f"wlt_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
        key_hash = hashlib.sha256(text.encode()).digest()
        return MadeKey(await self._store.create(terms, prefix=prefix, key_hash=key_hash), text)

    async def key(self, key_id: UUID) -> ApiKey:
        return await self._store.key(key_id)

    async def key_named(self, text: str) -> ApiKey:
        """The key with this id or prefix."""
        key_id = parse_id(text)
        if key_id is not None:
            return await self._store.key(key_id)
        if re.fullmatch(r"[a-z2-7]{12}", text) is None:
            raise NotFound("key_not_found", "that is neither the id nor the prefix of a key")
        return await self._store.key_by_prefix(text)

    async def revoke(self, key_id: UUID) -> ApiKey:
        """Revoke the key, which every process then refuses within a second. A second time changes nothing."""
        return await self._store.revoke(key_id)

    async def keys(self, *, before: UUID | None = None, limit: int = 200) -> Sequence[ApiKey]:
        """Keys, newest first."""
        return await self._store.keys(before=before, limit=limit)

    async def is_any_usable(self) -> bool:
        return await self._store.is_any_usable()


class KeyPages:
    """Keys by the page."""

    def __init__(self, keys: Keys, pages: Pages) -> None:
        self._keys = keys
        self._pages = pages

    async def keys(self, page: PageRequest = FIRST_PAGE) -> Page[ApiKey]:
        """A page of keys, newest first."""

        async def rows(before: UUID | None, limit: int) -> Sequence[ApiKey]:
            return await self._keys.keys(before=before, limit=limit)

        return await self._pages.by_id("keys", {}, page, rows)


def check(asked: KeyRequest) -> None:
    """Raise Malformed with every error of the request that can be found without the database."""
    errors = [*_wrong_copies(asked)] if asked.replaces is not None else [*_wrong_terms(asked)]
    for field, value, most in (
        ("expires_in_days", asked.expires_in_days, EXPIRES_IN_DAYS_MAX),
        ("requests_per_second", asked.requests_per_second, REQUESTS_PER_SECOND_MAX),
    ):
        if value is not None and not 1 <= value <= most:
            errors.append(FieldError(field, f"Must be between 1 and {most}."))
    if errors:
        raise Malformed(errors)


def _wrong_copies(asked: KeyRequest) -> Sequence[FieldError]:
    given = (
        ("name", asked.name is not None),
        ("scopes", bool(asked.scopes)),
        ("user_id", asked.user_id is not None),
        ("wallet_ids", asked.wallet_ids is not None),
    )
    return [FieldError(field, _COPIED) for field, is_given in given if is_given]


def _wrong_terms(asked: KeyRequest) -> Sequence[FieldError]:
    errors = []
    if asked.name is None or _NAME.fullmatch(asked.name) is None:
        errors.append(FieldError("name", f"Must be 1 to {NAME_LENGTH_MAX} characters without control characters."))
    if not asked.scopes:
        errors.append(FieldError("scopes", "At least one is required."))
    if asked.wallet_ids is not None and not 1 <= len(asked.wallet_ids) <= WALLETS_MAX:
        errors.append(FieldError("wallet_ids", f"Must name 1 to {WALLETS_MAX} wallets."))
    if asked.user_id is not None and asked.wallet_ids is not None:
        errors.append(FieldError("wallet_ids", "A key is bound to a user or to wallets, not to both."))
    is_bound = asked.user_id is not None or asked.wallet_ids is not None
    if is_bound and (beyond := set(asked.scopes) - BINDABLE):
        names = ", ".join(sorted(scope.value for scope in beyond))
        errors.append(FieldError("scopes", f"A key that is bound can read and spend; it cannot have {names}."))
    return errors


def _terms(asked: KeyRequest) -> KeyTerms:
    if asked.user_id is not None:
        origin: str | None = str(asked.user_id)
    else:
        origin = None if asked.wallet_ids is not None else ORIGIN_API
    return KeyTerms(
        name=asked.name or "",
        scopes=[scope.value for scope in Scope if scope in asked.scopes],
        origin=origin,
        user_id=asked.user_id,
        wallet_ids=None if asked.wallet_ids is None else list(dict.fromkeys(asked.wallet_ids)),
        expires_in_seconds=_seconds(asked),
        requests_per_second=asked.requests_per_second,
    )


def _copied(replaced: ApiKey, asked: KeyRequest) -> KeyTerms:
    return KeyTerms(
        name=replaced.name,
        scopes=replaced.scopes,
        origin=replaced.origin,
        user_id=replaced.user_id,
        wallet_ids=replaced.wallet_ids,
        expires_in_seconds=_seconds(asked),
        requests_per_second=asked.requests_per_second or replaced.requests_per_second,
    )


def _seconds(asked: KeyRequest) -> int | None:
    return None if asked.expires_in_days is None else asked.expires_in_days * _DAY
