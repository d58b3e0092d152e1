"""The demo data: two assets, two users with a wallet each, and the three transactions that made their balances.

Its ids and references never change, because examples and tutorials use them.
"""

from typing import Final
from uuid import UUID

from wallet.errors import AlreadyExists
from wallet.ledger.outcomes import Refused
from wallet.ledger.requests import Request
from wallet.service.writes.commands import Commands
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.database import Database
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.reads.resources import ReadStore
from wallet.storage.reads.walks import TransactionFilter
from wallet.storage.registry.resources import Resources
from wallet.storage.rows.asset_cache import AssetCache

GOLD: Final = "GOLD"
GOLD_ID: Final = 1
GOLD_TREASURY: Final = UUID("00000000-0000-0000-0000-000000000000")
GOLD_REVENUE: Final = UUID("00000000-0000-0000-0000-000000000003")
GOLD_BREAKAGE: Final = UUID("00000000-0000-0000-0000-000000000004")

DIAMOND: Final = "DIAMOND"
DIAMOND_ID: Final = 2
DIAMOND_TREASURY: Final = UUID("00000000-0000-0000-0000-000000000001")
DIAMOND_REVENUE: Final = UUID("00000000-0000-0000-0000-000000000002")
DIAMOND_BREAKAGE: Final = UUID("00000000-0000-0000-0000-000000000005")

EREN: Final = UUID("e1e1e1e1-e1e1-e1e1-e1e1-e1e1e1e1e1e1")
EREN_WALLET: Final = UUID("bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb")
MIKASA: Final = UUID("e2e2e2e2-e2e2-e2e2-e2e2-e2e2e2e2e2e2")
MIKASA_WALLET: Final = UUID("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa")

_LAST_REFERENCE: Final = "eren_redeem_diamond"


async def make_demo_data(database: Database) -> bool:
    """Make the missing parts of the demo data, and return whether any was missing. Safe to run twice, even at once.

    Raises AlreadyExists if another resource has one of its ids, codes or references; the parts made before stay.
    Raises StorageUnavailable and OutcomeUnknown as every writer does: run it again.
    """
    seconds_max = database.settings.statement_timeout_ms / 1000
    async with await database.pool("demo data", connections_max=1) as connections:
        pool = ShardPool(connections, seconds_max=seconds_max, shard=database.shard)
        if await _is_made(ReadStore(pool)):
            return False
        await _make_resources(Resources(pool))
    await _post(database)
    return True


async def _is_made(reads: ReadStore) -> bool:
    # The last transaction is looked up, so that a run after an interrupted one makes the rest.
    found = await reads.transactions(TransactionFilter(reference_id=_LAST_REFERENCE), limit=10)
    return any(entry.wallet_id == EREN_WALLET for posted in found.rows for entry in posted.entries)


async def _make_resources(resources: Resources) -> None:
    await resources.create_asset(
        code=GOLD,
        asset_id=GOLD_ID,
        treasury_wallet_id=GOLD_TREASURY,
        revenue_wallet_id=GOLD_REVENUE,
        breakage_wallet_id=GOLD_BREAKAGE,
    )
    await resources.create_asset(
        code=DIAMOND,
        asset_id=DIAMOND_ID,
        treasury_wallet_id=DIAMOND_TREASURY,
        revenue_wallet_id=DIAMOND_REVENUE,
        breakage_wallet_id=DIAMOND_BREAKAGE,
    )
    await resources.create_user(name="Eren Yeager", user_id=EREN)
    await resources.create_user(name="Mikasa Akerman", user_id=MIKASA)
    await resources.create_wallet(asset_code=GOLD, user_id=MIKASA, label="Mikasa's gold", wallet_id=MIKASA_WALLET)
    await resources.create_wallet(asset_code=DIAMOND, user_id=EREN, label="Eren's diamonds", wallet_id=EREN_WALLET)


async def _post(database: Database) -> None:
    requests = _requests(Commands())
    writer = BatchWriter(database, AssetCache(), observe=lambda _requests, _steps: None)
    try:
        answers = await writer.commit(requests)
    finally:
        await writer.close()
    for request, answer in zip(requests, answers, strict=True):
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Refused):
            raise AlreadyExists(f"the demo transaction {request.reference_id} cannot be posted here: {answer.detail}")


def _requests(commands: Commands) -> list[Request]:
    return [
        commands.wallet_movement(
            type_,
            wallet_id=wallet_id,
            asset_code=asset_code,
            amount=amount,
            reference_id=reference_id,
            metadata=None,
        )
        for reference_id, type_, wallet_id, amount, asset_code in (
            ("mikasa_buy_gold", "topup", MIKASA_WALLET, 1000, GOLD),
            ("eren_buy_diamond", "topup", EREN_WALLET, 100, DIAMOND),
            (_LAST_REFERENCE, "spend", EREN_WALLET, 10, DIAMOND),
        )
    ]
