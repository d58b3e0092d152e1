"""Writes the rows of attachments: granted periods, and moves to other wallets."""

from collections.abc import Sequence
from datetime import datetime

from wallet.errors import ensure
from wallet.ledger.batch import Changes
from wallet.ledger.model import Attachment, ProgrammeId, WalletId
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

_SQL = load_statements("batch/write_special.sql")

Moved = Sequence[tuple[Attachment, WalletId | None]]


async def write_attachments(shard: Shard, changes: Changes, decided_at: datetime) -> None:
    """Store moves, and then grants at the wallets where the attachments are by then. Raises InvariantViolated if a row
    was not as expected.
    """
    if moves := net_moves(changes.moved):
        programmes, sources = zip(*moves, strict=True)
        row = await shard.fetchrow(_SQL["move_attachments"], decided_at, programmes, sources, list(moves.values()))
        asked = (len(moves), sum(target is not None for target in moves.values()))
        ensure(tuple(row) == asked, f"asked to move {asked} attachments, moved {tuple(row)}")
    if grants := net_grants(changes.granted, changes.moved):
        programmes, wallets = zip(*grants, strict=True)
        periods, next_periods = zip(*grants.values(), strict=True)
        advanced = await shard.fetchval(_SQL["advance_attachments"], programmes, wallets, periods, next_periods)
        ensure(advanced == len(grants), f"asked to advance {len(grants)} attachments, advanced {advanced}")


def net_moves(moved: Moved) -> dict[tuple[ProgrammeId, WalletId], WalletId | None]:
    """The final wallet of each stored attachment, by programme and the wallet that it is stored with."""
    moves: dict[tuple[ProgrammeId, WalletId], WalletId | None] = {}
    stored_with: dict[tuple[ProgrammeId, WalletId], WalletId] = {}
    for attachment, target in moved:
        source = stored_with.pop((attachment.programme_id, attachment.wallet_id), attachment.wallet_id)
        moves[attachment.programme_id, source] = target
        if target is not None:
            stored_with[attachment.programme_id, target] = source
    return moves


def net_grants(granted: Sequence[Attachment], moved: Moved) -> dict[tuple[ProgrammeId, WalletId], tuple[int, int]]:
    """The first granted period and the next one to grant, by programme and the final wallet of the attachment. There is
    nothing for attachments that have ended.
    """
    targets = {(attachment.programme_id, attachment.wallet_id): target for attachment, target in moved}
    grants: dict[tuple[ProgrammeId, WalletId], tuple[int, int]] = {}
    for programme_id, wallet_id, period in granted:
        home: WalletId | None = wallet_id
        while home is not None and (programme_id, home) in targets:
            home = targets[programme_id, home]
        if home is not None:
            first, _ = grants.get((programme_id, home), (period, period))
            grants[programme_id, home] = first, period + 1
    return grants
