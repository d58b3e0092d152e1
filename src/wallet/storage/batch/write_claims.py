"""Writes the rows of placed and redeemed claims, beside those of their holds."""

from collections.abc import Sequence
from datetime import datetime

from wallet.errors import ensure
from wallet.ledger.batch import Changes
from wallet.ledger.model import Hold
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

_SQL = load_statements("batch/write_special.sql")


async def write_claims(shard: Shard, changes: Changes, decided_at: datetime) -> None:
    """Store the terms of new claims, and the users that may not redeem a claim again.

    Raises InvariantViolated if a row was not written.
    """
    placed, redemptions = claims_placed(changes), changes.redemptions
    if not placed and not redemptions:
        return
    terms = [hold.claim for hold in placed if hold.claim is not None]
    row = await shard.fetchrow(
        _SQL["write_claims"],
        decided_at,
        [hold.id for hold in placed],
        [claim.amount for claim in terms],
        [claim.uses for claim in terms],
        [claim.once_per_user for claim in terms],
        [claim.code_hash for claim in terms],
        [claim_id for claim_id, _ in redemptions],
        [user_id for _, user_id in redemptions],
        list(redemptions.values()),
    )
    asked = (len(placed), len(redemptions))
    ensure(tuple(row) == asked, f"asked to write {asked} claims and redemptions, wrote {tuple(row)}")


def claims_placed(changes: Changes) -> Sequence[Hold]:
    """The claims that a batch has placed. Their terms never change, so a later state of the hold gives them, too."""
    ids = dict.fromkeys(step.hold_id for step in changes.steps if step.kind == "place")
    return [changes.holds[hold_id] for hold_id in ids if changes.holds[hold_id].claim is not None]
