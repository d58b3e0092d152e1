"""`wallet keys`: create, list and revoke."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import click

from wallet.cli.database import existing_database
from wallet.cli.keys_of import act_on_keys
from wallet.cli.options import DATABASE, EMBEDDED, Function, json_option, with_settings
from wallet.errors import Malformed
from wallet.service.access.callers import Scope
from wallet.service.access.keys import KeyRequest, Keys, MadeKey
from wallet.settings import Settings
from wallet.storage.registry.keys import ApiKey

_OPTIONS = {"scopes": "--scope", "user_id": "--user", "wallet_ids": "--wallet"}
_PAGE_ROWS = 200


def _option(option: str, name: str, env: str, meaning: str, **kind: Any) -> Callable[[Function], Function]:
    return click.option(option, name, default=None, envvar=env, show_envvar=True, help=meaning, **kind)


_DESCRIPTION = (
    _option("--name", "name", "WALLET_KEY_NAME", "The key's name, for people."),
    _option(
        "--scope",
        "scopes",
        "WALLET_KEY_SCOPES",
        "A scope of the key; may be given several times. No scope implies another.",
        type=click.Choice([scope.value for scope in Scope]),
        multiple=True,
    ),
    _option("--user", "user_id", "WALLET_KEY_USER", "Bind the key to this user's wallets.", type=click.UUID),
    _option(
        "--wallet",
        "wallet_ids",
        "WALLET_KEY_WALLETS",
        "Bind the key to this wallet; may be given several times.",
        type=click.UUID,
        multiple=True,
    ),
    _option(
        "--expires-in-days",
        "expires_in_days",
        "WALLET_KEY_EXPIRES_IN_DAYS",
        "Days until the key expires. Unset: it never expires.",
        type=click.INT,
    ),
    _option(
        "--requests-per-second",
        "requests_per_second",
        "WALLET_KEY_REQUESTS_PER_SECOND",
        "The key's rate, all workers together. Unset: WALLET_REQUESTS_PER_SECOND_MAX of the service.",
        type=click.INT,
    ),
    _option(
        "--replaces",
        "replaces",
        "WALLET_KEY_REPLACES",
        "The key whose name, scopes, binding and origin are copied. It stays valid until it is revoked.",
        type=click.UUID,
    ),
)
"""The options that describe a new key."""


def _described(function: Function) -> Function:
    for option in reversed(_DESCRIPTION):  # the last decorator's option comes first in --help
        function = option(function)
    return function


@click.group("keys")
def command() -> None:
    """Make, list and revoke the keys that programs authenticate with.

    A key is shown once, when it is made. Each use of this command is recorded as an administrative act.

    \b
    Examples:
      wallet keys create --name backend --scope read --scope spend
      wallet keys list
      wallet keys revoke abcdefghij23
    """


@command.command("create")
@with_settings(*DATABASE, *EMBEDDED)
@_described
@json_option
def create(settings: Settings, as_json: bool, wallet_ids: Sequence[UUID], scopes: Sequence[str], **given: Any) -> None:
    """Make a key and print it. It is not shown again.

    A key that is bound to a user or to wallets can have the scopes read and spend only.

    \b
    Examples:
      wallet keys create --name backend --scope read --scope spend --scope issue
      wallet keys create --name kiosk --scope spend --user e2e2e2e2-e2e2-e2e2-e2e2-e2e2e2e2e2e2 --expires-in-days 30
      wallet keys create --replaces 01890a5d-ac96-774b-bcce-b302099a8057 --json
    """
    asked = KeyRequest(scopes=[Scope(text) for text in scopes], wallet_ids=wallet_ids or None, **given)
    try:
        with existing_database(settings) as found:
            made = asyncio.run(_create(found, asked))
    except Malformed as error:
        each = "; ".join(
            f"{_OPTIONS.get(e.field, '--' + e.field.replace('_', '-'))}: {e.message}" for e in error.errors
        )
        raise click.UsageError(each, click.get_current_context()) from None
    if as_json:
        click.echo(json.dumps({"key": made.text, **_as_object(made.key)}))
    else:
        click.echo(made.text)
        click.echo(f"This is the key {made.key.name!r}, id {made.key.id}. It is not shown again.", err=True)


@command.command("list")
@with_settings(*DATABASE, *EMBEDDED)
@json_option
def list_(settings: Settings, as_json: bool) -> None:
    """List all keys, newest first, revoked and expired ones included.

    \b
    Examples:
      wallet keys list
      wallet keys list --json
    """
    with existing_database(settings) as found:
        keys = asyncio.run(act_on_keys(found, "keys list", _all))
    if as_json:
        click.echo(json.dumps({"keys": [_as_object(key) for key in keys]}))
    else:
        _show(keys)


@command.command("revoke")
@with_settings(*DATABASE, *EMBEDDED)
@click.argument("key")
@json_option
def revoke(settings: Settings, key: str, as_json: bool) -> None:
    """Revoke KEY, an id or a prefix, for ever: within a second no request is accepted with it.

    \b
    Examples:
      wallet keys revoke abcdefghij23
      wallet keys revoke 01890a5d-ac96-774b-bcce-b302099a8057 --json
    """
    # KEY may also be a whole key, for an operator who has nothing else. The act records the prefix only.
    named = key.split("_")[1] if key.startswith("wlt_") else key

    async def do(keys: Keys) -> ApiKey:
        return await keys.revoke((await keys.key_named(named)).id)

    with existing_database(settings) as found:
        revoked = asyncio.run(act_on_keys(found, "keys revoke", do, subject=named))
    if as_json:
        click.echo(json.dumps(_as_object(revoked)))
    else:
        click.echo(f"revoked: {revoked.name} ({revoked.prefix}), id {revoked.id}")


async def _create(settings: Settings, asked: KeyRequest) -> MadeKey:
    members = {
        "name": asked.name,
        "scopes": [scope.value for scope in asked.scopes] or None,
        "user_id": None if asked.user_id is None else str(asked.user_id),
        "wallet_ids": None if asked.wallet_ids is None else [str(each) for each in asked.wallet_ids],
        "expires_in_days": asked.expires_in_days,
        "requests_per_second": asked.requests_per_second,
        "replaces": None if asked.replaces is None else str(asked.replaces),
    }
    given = {name: value for name, value in members.items() if value is not None}
    return await act_on_keys(settings, "keys create", lambda keys: keys.create(asked), asked=given)


async def _all(keys: Keys) -> Sequence[ApiKey]:
    found: list[ApiKey] = []
    while True:
        page = await keys.keys(before=found[-1].id if found else None, limit=_PAGE_ROWS)
        found += page
        if len(page) < _PAGE_ROWS:
            return found


def _as_object(key: ApiKey) -> dict[str, object]:
    return {
        "id": str(key.id),
        "prefix": key.prefix,
        "name": key.name,
        "scopes": list(key.scopes),
        "origin": key.origin,
        "user_id": None if key.user_id is None else str(key.user_id),
        "wallet_ids": None if key.wallet_ids is None else [str(each) for each in key.wallet_ids],
        "requests_per_second": key.requests_per_second,
        "created_at": key.created_at.isoformat(),
        "expires_at": _text(key.expires_at),
        "revoked_at": _text(key.revoked_at),
        "last_used_at": _text(key.last_used_at),
    }


def _show(keys: Sequence[ApiKey]) -> None:
    if not keys:
        click.echo("there are no keys")
    # No table: it would cut or fold the ids.
    for key in keys:
        bound = f"user {key.user_id}" if key.user_id is not None else ""
        if key.wallet_ids is not None:
            bound = f"{len(key.wallet_ids)} wallets"
        times = (("expires", key.expires_at), ("revoked", key.revoked_at), ("last used", key.last_used_at))
        said = [bound, *(f"{what} {_text(at)}" for what, at in times if at is not None)]
        click.echo(f"{key.prefix}  {key.id}  {key.name}: {' '.join(key.scopes)}" + "".join(f"; {e}" for e in said if e))


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
