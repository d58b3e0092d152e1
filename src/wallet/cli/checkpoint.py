"""`wallet checkpoint`: prints the end of the audit chain, to be kept where nobody who changes the ledger may write."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from uuid import UUID

import click

from wallet import __version__
from wallet.cli.database import database_of, ensure_set_up, existing_database
from wallet.cli.options import DATABASE, EMBEDDED, with_settings
from wallet.errors import SettingsInvalid
from wallet.ledger.instants import rfc3339
from wallet.settings import Settings
from wallet.storage.chain.seal import Checkpoint, find_checkpoints
from wallet.storage.connections.database import close


@click.command("checkpoint")
@with_settings(*DATABASE, *EMBEDDED)
def command(settings: Settings) -> int:
    """Print the end of the audit chain, one line with a JSON object per shard.

    Keep the lines elsewhere: `wallet verify --against FILE` then proves that history up to there is unchanged. The
    file may have many lines, for example those of a daily cron job. Changes nothing. Exits with 1 if nothing is
    sealed yet.

    \b
    Examples:
      wallet checkpoint >> checkpoints.jsonl
      wallet verify --against checkpoints.jsonl
    """
    with existing_database(settings) as found:
        checkpoints = asyncio.run(_find(found))
    for each in checkpoints:
        click.echo(json.dumps(as_object(each)))
    if not checkpoints:
        click.echo("wallet: the audit chain has no link yet", err=True)
    return 0 if checkpoints else 1


async def _find(settings: Settings) -> Sequence[Checkpoint]:
    await ensure_set_up(settings)
    connection = await database_of(settings).connect("checkpoint")
    try:
        return await find_checkpoints(connection)
    finally:
        await close(connection)


def as_object(checkpoint: Checkpoint) -> dict[str, object]:
    batch_id = None if checkpoint.batch_id is None else str(checkpoint.batch_id)
    made_at = rfc3339(checkpoint.made_at)
    return {**asdict(checkpoint), "batch_id": batch_id, "made_at": made_at, "version": __version__}


def read_checkpoints(path: str) -> Sequence[Checkpoint]:
    """The checkpoints of a file that this command has written. Raises SettingsInvalid for any other file."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
        checkpoints = [_checkpoint(json.loads(line)) for line in lines if line.strip()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SettingsInvalid(f"{path} cannot be read as checkpoints ({type(error).__name__}: {error})") from None
    if not checkpoints:
        raise SettingsInvalid(f"{path} has no checkpoint")
    return checkpoints


def _checkpoint(members: dict[str, object]) -> Checkpoint:
    shard, height, seq, hash_ = (members[name] for name in ("shard", "height", "seq", "hash"))
    if not (type(shard) is type(height) is type(seq) is int and isinstance(hash_, str) and len(hash_) == 64):
        raise ValueError("a line is no checkpoint")
    return Checkpoint(
        shard=shard,
        height=height,
        seq=seq,
        batch_id=None if members["batch_id"] is None else UUID(str(members["batch_id"])),
        hash=hash_.lower(),
        made_at=datetime.fromisoformat(str(members["made_at"])),
    )
