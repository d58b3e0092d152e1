"""Answers about keys and administrative acts."""

from msgspec import Raw, Struct

from wallet.ledger.instants import rfc3339
from wallet.service.access.keys import MadeKey
from wallet.storage.registry.acts import Act
from wallet.storage.registry.keys import ApiKey


class KeyAnswer(Struct, kw_only=True):
    """A key, but for itself. Bound to a user or to wallets, or to neither. `last_used_at`: to within a minute.

    `requests_per_second`: null: as many as the service allows to every key.
    """

    id: str
    prefix: str
    name: str
    scopes: list[str]
    origin: str
    user_id: str | None
    wallet_ids: list[str] | None
    requests_per_second: int | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class NewKeyAnswer(KeyAnswer, kw_only=True):
    """A key that was just made. `key` is the key itself: this is the only answer that has it."""

    key: str


class ActAnswer(Struct, kw_only=True):
    """An administrative act, as it was asked for, and the status of its answer.

    `status`: null: cut off, and perhaps done; or under way. `key_id`: null for the command line and in development.
    """

    id: str
    asked_at: str
    actor: str
    key_id: str | None
    act: str
    subject: str | None
    asked: Raw | None
    request_id: str | None
    status: int | None
    answered_at: str | None


def key_answer(key: ApiKey) -> KeyAnswer:
    return KeyAnswer(
        id=str(key.id),
        prefix=key.prefix,
        name=key.name,
        scopes=list(key.scopes),
        origin=key.origin,
        user_id=None if key.user_id is None else str(key.user_id),
        wallet_ids=None if key.wallet_ids is None else [str(each) for each in key.wallet_ids],
        requests_per_second=key.requests_per_second,
        created_at=rfc3339(key.created_at),
        expires_at=None if key.expires_at is None else rfc3339(key.expires_at),
        revoked_at=None if key.revoked_at is None else rfc3339(key.revoked_at),
        last_used_at=None if key.last_used_at is None else rfc3339(key.last_used_at),
    )


def new_key_answer(made: MadeKey) -> NewKeyAnswer:
    known = key_answer(made.key)
    return NewKeyAnswer(key=made.text, **{name: getattr(known, name) for name in known.__struct_fields__})


def act_answer(act: Act) -> ActAnswer:
    return ActAnswer(
        id=str(act.id),
        asked_at=rfc3339(act.asked_at),
        actor=act.actor,
        key_id=None if act.key_id is None else str(act.key_id),
        act=act.act,
        subject=act.subject,
        asked=None if act.asked is None else Raw(act.asked.encode()),
        request_id=act.request_id,
        status=act.status,
        answered_at=None if act.answered_at is None else rfc3339(act.answered_at),
    )
