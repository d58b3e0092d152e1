"""Users, wallets and assets are made once, however often and from wherever they are asked for."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from wallet.errors import AlreadyExists, InvariantViolated, NotFound, OutcomeUnknown
from wallet.ledger.model import WalletKind
from wallet.settings import Settings
from wallet.storage.connections.database import Database
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.registry.resources import Resources

ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))
NIL = UUID(int=0)

END_AT_COMMIT = """
CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER end_session AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION end_session();
"""


@pytest.fixture
async def resources(database_url: str) -> AsyncIterator[Resources]:
    database = Database(dsn=database_url, settings=Settings())
    async with await database.pool("resources", connections_max=4) as pool:
        yield Resources(ShardPool(pool, seconds_max=30))


async def system_wallets(connection: asyncpg.Connection) -> dict[str, tuple[UUID, bool, bool, int]]:
    rows = await connection.fetch("SELECT kind, id, locked, hot, overdraft_limit FROM wallets WHERE kind <> 'user'")
    return {kind: tuple(rest) for kind, *rest in rows}


async def test_a_user_gets_an_id_and_the_time_of_the_database(
    resources: Resources, connection: asyncpg.Connection
) -> None:
    before = await connection.fetchval("SELECT clock_timestamp()")
    created = await resources.create_user(name="Armin")
    assert not created.existed
    assert created.resource.name == "Armin"
    assert before <= created.resource.created_at <= await connection.fetchval("SELECT clock_timestamp()")
    assert await connection.fetchval("SELECT id FROM users") == created.resource.id


async def test_a_user_asked_for_again_is_the_one_there(resources: Resources) -> None:
    first = await resources.create_user(name="Armin", user_id=ONE)
    again = await resources.create_user(name="Armin", user_id=ONE)
    assert again.existed
    assert again.resource == first.resource


async def test_a_user_id_is_not_given_to_another_name(resources: Resources) -> None:
    await resources.create_user(name="Armin", user_id=NIL)
    with pytest.raises(AlreadyExists):
        await resources.create_user(name="Annie", user_id=NIL)


async def test_racing_creates_of_a_user_make_one(resources: Resources, connection: asyncpg.Connection) -> None:
    made = await asyncio.gather(*(resources.create_user(name="Armin", user_id=ONE) for _ in range(20)))
    assert sorted(each.existed for each in made) == [False] + [True] * 19
    assert await connection.fetchval("SELECT count(*) FROM users") == 1


async def test_a_wallet_is_locked_and_of_kind_user(resources: Resources, connection: asyncpg.Connection) -> None:
    gold = (await resources.create_asset(code="GOLD")).resource
    armin = (await resources.create_user(name="Armin")).resource
    created = await resources.create_wallet(asset_code="GOLD", user_id=armin.id, label="Armin's gold")
    wallet = created.resource
    assert not created.existed
    assert (wallet.kind, wallet.asset_id, wallet.asset_code) == (WalletKind.USER, gold.id, "GOLD")
    assert (wallet.user_id, wallet.label) == (armin.id, "Armin's gold")
    assert await connection.fetchval("SELECT locked FROM wallets WHERE id = $1", wallet.id)


async def test_a_wallet_can_name_its_asset_by_id_and_needs_no_user(resources: Resources) -> None:
    gold = (await resources.create_asset(code="GOLD")).resource
    wallet = (await resources.create_wallet(asset_id=gold.id)).resource
    assert (wallet.asset_code, wallet.user_id, wallet.label) == ("GOLD", None, None)


@pytest.mark.parametrize("asset", [{"asset_code": "TIN"}, {"asset_id": 99}, {"asset_code": "GOLD", "asset_id": 99}])
async def test_a_wallet_of_an_unknown_asset_is_not_made(resources: Resources, asset: dict[str, object]) -> None:
    await resources.create_asset(code="GOLD")
    with pytest.raises(NotFound) as raised:
        await resources.create_wallet(**asset)
    assert raised.value.code == "asset_not_found"


async def test_a_wallet_without_an_asset_is_not_made(resources: Resources) -> None:
    with pytest.raises(InvariantViolated):
        await resources.create_wallet(label="nothing")


async def test_a_wallet_of_an_unknown_user_is_not_made(resources: Resources) -> None:
    await resources.create_asset(code="GOLD")
    with pytest.raises(NotFound) as raised:
        await resources.create_wallet(asset_code="GOLD", user_id=uuid4())
    assert raised.value.code == "user_not_found"


async def test_a_wallet_asked_for_again_is_the_one_there(resources: Resources) -> None:
    await resources.create_asset(code="GOLD")
    first = await resources.create_wallet(asset_code="GOLD", label="mine", wallet_id=ONE)
    again = await resources.create_wallet(asset_code="GOLD", label="mine", wallet_id=ONE)
    assert again.existed
    assert again.resource == first.resource


@pytest.mark.parametrize("other", [{"label": "yours"}, {"asset_code": "TIN"}, {"user_id": TWO}])
async def test_a_wallet_id_is_not_given_to_another_wallet(resources: Resources, other: dict[str, object]) -> None:
    await resources.create_asset(code="GOLD")
    await resources.create_asset(code="TIN")
    await resources.create_user(name="Armin", user_id=TWO)
    same = {"asset_code": "GOLD", "label": "mine", "wallet_id": ONE}
    await resources.create_wallet(**same)
    with pytest.raises(AlreadyExists):
        await resources.create_wallet(**{**same, **other})


async def test_a_system_wallet_is_never_a_users(resources: Resources) -> None:
    await resources.create_asset(code="GOLD", revenue_wallet_id=ONE)
    with pytest.raises(AlreadyExists):
        await resources.create_wallet(asset_code="GOLD", wallet_id=ONE)


async def test_racing_creates_of_a_wallet_make_one(resources: Resources) -> None:
    await resources.create_asset(code="GOLD")
    made = await asyncio.gather(*(resources.create_wallet(asset_code="GOLD", wallet_id=ONE) for _ in range(20)))
    assert sorted(each.existed for each in made) == [False] + [True] * 19


async def test_an_asset_has_unlocked_system_wallets(resources: Resources, connection: asyncpg.Connection) -> None:
    created = await resources.create_asset(code="GOLD", scale=2)
    asset = created.resource
    assert not created.existed
    assert (asset.code, asset.scale, asset.max_supply) == ("GOLD", 2, None)
    assert (asset.issued, asset.revenue, asset.breakage, asset.circulating) == (0, 0, 0, 0)
    assert await system_wallets(connection) == {
        "treasury": (asset.treasury_wallet_id, False, False, 0),
        "revenue": (asset.revenue_wallet_id, False, False, 0),
        "breakage": (asset.breakage_wallet_id, False, False, 0),
    }


async def test_a_capped_treasury_is_locked_last_and_may_owe_its_cap(
    resources: Resources, connection: asyncpg.Connection
) -> None:
    asset = (await resources.create_asset(code="GOLD", max_supply=2**63 - 1)).resource
    wallets = await system_wallets(connection)
    assert wallets["treasury"] == (asset.treasury_wallet_id, True, True, 2**63 - 1)
    assert wallets["revenue"] == (asset.revenue_wallet_id, False, False, 0)


async def test_an_asset_asked_for_again_is_the_one_there(resources: Resources) -> None:
    first = await resources.create_asset(code="GOLD", scale=2, max_supply=100)
    again = await resources.create_asset(code="GOLD", scale=2, max_supply=100)
    assert again.existed
    assert again.resource == first.resource


@pytest.mark.parametrize("other", [{"scale": 3}, {"max_supply": 101}, {"max_supply": None}, {"asset_id": 99}])
async def test_an_asset_code_is_not_given_to_another_asset(resources: Resources, other: dict[str, object]) -> None:
    same = {"code": "GOLD", "scale": 2, "max_supply": 100}
    await resources.create_asset(**same)
    with pytest.raises(AlreadyExists):
        await resources.create_asset(**{**same, **other})


async def test_an_asset_takes_the_ids_it_is_given(resources: Resources) -> None:
    ids = {"asset_id": 7, "treasury_wallet_id": NIL, "revenue_wallet_id": ONE, "breakage_wallet_id": TWO}
    asset = (await resources.create_asset(code="GOLD", **ids)).resource
    assert (asset.id, asset.treasury_wallet_id, asset.revenue_wallet_id, asset.breakage_wallet_id) == (7, NIL, ONE, TWO)
    assert (await resources.create_asset(code="GOLD", **ids)).existed


async def test_ids_go_on_after_one_that_was_given(resources: Resources) -> None:
    for asset_id, code in ((1, "GOLD"), (2, "DIAMOND")):
        await resources.create_asset(code=code, asset_id=asset_id)
    assert (await resources.create_asset(code="TIN")).resource.id == 3


async def test_an_asset_id_is_not_given_to_another_code(resources: Resources) -> None:
    await resources.create_asset(code="GOLD", asset_id=1)
    with pytest.raises(AlreadyExists):
        await resources.create_asset(code="TIN", asset_id=1)


async def test_an_asset_whose_wallets_cannot_be_made_is_not_made(
    resources: Resources, connection: asyncpg.Connection
) -> None:
    await resources.create_asset(code="GOLD", treasury_wallet_id=ONE)
    with pytest.raises(AlreadyExists):
        await resources.create_asset(code="TIN", breakage_wallet_id=ONE)
    assert await connection.fetchval("SELECT array_agg(code) FROM assets") == ["GOLD"]
    assert await connection.fetchval("SELECT count(*) FROM wallets") == 3


async def test_racing_creates_of_an_asset_make_one(resources: Resources, connection: asyncpg.Connection) -> None:
    made = await asyncio.gather(*(resources.create_asset(code="GOLD") for _ in range(20)))
    assert sorted(each.existed for each in made) == [False] + [True] * 19
    assert await connection.fetchval("SELECT count(*) FROM wallets") == 3


async def test_racing_creates_of_different_assets_with_one_scale_each_win_or_lose_cleanly(
    resources: Resources,
) -> None:
    tries = await asyncio.gather(
        *(resources.create_asset(code="GOLD", scale=scale) for scale in range(10)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in tries) == ["AlreadyExists"] * 9 + ["Created"]


async def test_a_dead_connection_is_replaced(resources: Resources, connection: asyncpg.Connection) -> None:
    await asyncio.gather(*(resources.create_user(name=name) for name in "abcd"))
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert not (await resources.create_user(name="Armin")).existed


async def test_a_connection_lost_while_committing_is_an_unknown_outcome(
    resources: Resources, connection: asyncpg.Connection
) -> None:
    await connection.execute(END_AT_COMMIT)
    with pytest.raises(OutcomeUnknown):
        await resources.create_user(name="Armin")


async def test_after_a_refusal_the_connection_is_good_for_the_next(database_url: str) -> None:
    database = Database(dsn=database_url, settings=Settings())
    async with await database.pool("resources", connections_max=1) as pool:
        resources = Resources(ShardPool(pool, seconds_max=30))
        with pytest.raises(NotFound):
            await resources.create_wallet(asset_code="TIN")
        assert not (await resources.create_asset(code="TIN", treasury_wallet_id=THREE)).existed
