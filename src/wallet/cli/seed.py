"""`wallet seed`."""

import asyncio
import json
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from wallet.cli.database import database_of, ensure_set_up, existing_database
from wallet.cli.options import DATABASE, EMBEDDED, json_option, with_settings
from wallet.service.demo import DIAMOND, EREN_WALLET, GOLD, MIKASA_WALLET, make_demo_data
from wallet.settings import Settings

_WALLETS: Final = {"Mikasa Akerman": (GOLD, MIKASA_WALLET), "Eren Yeager": (DIAMOND, EREN_WALLET)}


@click.command("seed")
@with_settings(*DATABASE, *EMBEDDED)
@json_option
def command(settings: Settings, as_json: bool) -> None:
    """Make the demo data: two assets, two users, a wallet for each, and some money in them.

    Real transactions move the money, so the ledger adds up. A second run changes nothing. Without
    DATABASE_URL it works on the data of `wallet dev`.

    \b
    Examples:
      wallet seed
      DATABASE_URL=postgresql://wallet:secret@db/wallet wallet seed --json
    """
    with existing_database(settings) as found:
        made = asyncio.run(_make(found))
    if as_json:
        wallets = [{"wallet_id": str(id_), "asset_code": code, "user": user} for user, (code, id_) in _WALLETS.items()]
        click.echo(json.dumps({"made": made, "wallets": wallets}))
    else:
        click.echo("made the demo data:" if made else "the demo data was there already:")
        _show_wallets()


async def _make(settings: Settings) -> bool:
    await ensure_set_up(settings)
    return await make_demo_data(database_of(settings))


def _show_wallets() -> None:
    table = Table("user", "asset", "wallet", box=None, pad_edge=False)
    for user, (code, wallet_id) in _WALLETS.items():
        table.add_row(user, code, str(wallet_id))
    Console().print(table)
