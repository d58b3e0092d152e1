"""Two batches at once, or a batch and what it may meet, in every order of their steps that PostgreSQL allows."""

import pytest

from tests.interleavings.playing import play_scene
from tests.interleavings.scenes import Scene
from wallet.storage.batch import commit
from wallet.storage.batch import write as writing

SCENES = [
    # References
    Scene(
        name="two that share nothing",
        wallets="alice, bob",
        acts=("a: topup alice 30", "b: topup bob 30"),
        ends=1,
        # Nobody waits: 4 steps among 8.
        orders=70,
    ),
    Scene(
        name="the same request twice",
        wallets="alice",
        before="m: topup alice 50",
        acts=("a: spend alice 30", "a: spend alice 30 (again)"),
        orders=8,
        ends=2,
        steps=("lock | load write commit", "lock | load write commit"),
    ),
    Scene(
        name="the same request twice where nothing is locked",
        wallets="alice",
        acts=("a: topup GOLD.revenue 30", "a: topup GOLD.revenue 30 (again)"),
        orders=50,
        ends=2,
        steps=("lock load write | commit", "lock load write | commit"),
    ),
    Scene(
        name="two requests with one reference and one wallet",
        wallets="alice",
        before="m: topup alice 50",
        acts=("a: spend alice 30", "a: spend alice 20 (again)"),
        orders=8,
        ends=2,
        steps=("lock | load write commit", "lock | load write commit"),
    ),
    Scene(
        name="two requests with one reference and no wallet in common",
        wallets="alice, bob",
        acts=("a: topup alice 30", "a: topup bob 30 (again)"),
        orders=50,
        ends=2,
        steps=("lock load write | commit", "lock load write | commit"),
    ),
    Scene(
        name="one reference in a batch of two",
        wallets="alice, bob",
        acts=("a: topup alice 30; b: topup alice 5", "b: topup bob 30 (again)"),
        orders=50,
        ends=2,
        steps=("lock load write | commit", "lock load write | commit"),
    ),
    Scene(
        name="groups that share references in opposite order",
        wallets="alice, bob",
        acts=("[a: topup alice 1; b: topup alice 2]", "[b: topup bob 3 (again); a: topup bob 4 (again)]"),
        stops_at=("a", "b"),
        orders=92,
        ends=2,
        begins="AB",
        steps=("load write insert:a | insert:b commit", "load write insert:a | insert:b commit"),
    ),
    Scene(
        name="special and plain groups that share references in opposite order",
        wallets="alice, bob",
        before="m: topup alice 5",
        acts=("[a: hold alice 1; b: topup alice 2]", "[b: topup bob 3 (again); a: topup bob 4 (again)]"),
        stops_at=("a", "b"),
        orders=92,
        ends=2,
        begins="AB",
        steps=("load write insert:a | insert:b commit", "load write insert:a | insert:b commit"),
    ),
    # Wallets
    Scene(
        name="opposite transfers",
        wallets="alice, bob",
        before="m: topup alice 10; n: topup bob 10",
        acts=("a: transfer alice bob 15", "b: transfer bob alice 10"),
        orders=8,
        ends=2,
        steps=("lock | load write commit", "lock | load write commit"),
    ),
    Scene(
        name="opposite transfers that strangers hold up half-way",
        wallets="alice, bob",
        before="m: topup alice 10; n: topup bob 10",
        acts=("a: transfer alice bob 15", "b: transfer bob alice 10", "let go of alice", "let go of bob"),
        orders=60,
        ends=2,
    ),
    Scene(
        name="two spends that cannot both be afforded",
        wallets="alice",
        before="m: topup alice 30",
        acts=("a: spend alice 20", "b: spend alice 20"),
        orders=8,
        ends=2,
        steps=("lock | load write commit", "lock | load write commit"),
    ),
    Scene(
        name="two bonuses out of one budget",
        wallets="fund, alice, bob",
        before="m: topup fund 30",
        acts=("a: bonus alice 20 from fund", "b: bonus bob 20 from fund"),
        orders=8,
        ends=2,
        steps=("lock | load write commit", "lock | load write commit"),
    ),
    Scene(
        name="two top-ups under one cap",
        wallets="alice COIN, bob COIN",
        cap=30,
        acts=("a: topup alice 20", "b: topup bob 20"),
        orders=36,
        ends=2,
        steps=("find lock | load write commit", "find lock | load write commit"),
    ),
    Scene(
        name="a spend and a limit",
        wallets="alice",
        before="m: topup alice 30",
        acts=("a: spend alice 20", "b: change alice limit_day=10"),
        orders=9,
        ends=2,
        steps=("lock | load write commit", "lock | load more write commit"),
    ),
    Scene(
        name="a transfer and a freeze of its target",
        wallets="alice, bob",
        before="m: topup alice 30",
        acts=("a: transfer alice bob 20", "b: change bob freeze_incoming=yes"),
        orders=8,
        ends=2,
        steps=("lock | load write commit", "lock | load write commit"),
    ),
    Scene(
        name="a transfer and the close of its target",
        wallets="alice, bob",
        before="m: topup alice 30",
        acts=("a: transfer alice bob 20", "b: close bob"),
        orders=9,
        ends=2,
        steps=("lock | load write commit", "lock | load more write commit"),
    ),
    Scene(
        name="a hold and the close of its target",
        wallets="alice, bob",
        before="m: topup alice 30",
        acts=("a: hold alice 20 to bob", "b: close bob"),
        orders=9,
        ends=2,
        steps=("lock | load write commit", "lock | load more write commit"),
    ),
    Scene(
        name="a top-up and the making of its wallet",
        wallets="alice, carol",
        acts=("a: topup carol 20", "make carol"),
        ends=2,
        # Nobody waits: 3 steps among 7.
        orders=35,
    ),
    Scene(
        name="a transfer and the making of its target",
        wallets="alice, carol",
        before="m: topup alice 30",
        acts=("a: transfer alice carol 20", "make carol"),
        ends=2,
        # As above.
        orders=35,
    ),
    # Refunds
    Scene(
        name="two refunds of a spend",
        wallets="alice",
        before="m: topup alice 30; s: spend alice 30",
        acts=("a: refund s 20", "b: refund s 15"),
        orders=84,
        ends=2,
        steps=("find lock | load mark mutex more write commit", "find lock | load mark mutex more write commit"),
    ),
    Scene(
        name="two refunds of what nobody locks",
        wallets="alice",
        before="s: topup GOLD.revenue 30",
        acts=("a: refund s 20", "b: refund s 15"),
        orders=66,
        ends=2,
        begins="ABAB",
        steps=("load mark | mutex more load write commit", "load mark | mutex more load write commit"),
    ),
    Scene(
        name="two more refunds of what nobody locks",
        wallets="alice",
        before="s: topup GOLD.revenue 30; r: refund s 5",
        acts=("a: refund s 20", "b: refund s 15"),
        ends=2,
        begins="ABABAB",
        # 25 where either has the mutex first, but for one each: to mark waits, too, once the other has written.
        orders=48,
    ),
    Scene(
        name="the same refund twice of what nobody locks",
        wallets="alice",
        before="s: topup GOLD.revenue 30",
        acts=("a: refund s 20", "a: refund s 20 (again)"),
        orders=66,
        ends=2,
        begins="ABAB",
        steps=("load mark | mutex more load write commit", "load mark | mutex more load write commit"),
    ),
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.id)
async def test_every_order_of_steps_ends_as_some_serial_order_does(database_url: str, scene: Scene) -> None:
    await play_scene(database_url, scene)


AS_LARGE = {
    "the same request twice",
    "two requests with one reference and no wallet in common",
    "opposite transfers that strangers hold up half-way",
    "two top-ups under one cap",
    "two spends that cannot both be afforded",
    "a transfer and the making of its target",
}
"""Scenes that are played again on the path of large batches: wallets are read as they are locked, rows are copied."""


@pytest.mark.parametrize(
    "scene", [scene for scene in SCENES if scene.name in AS_LARGE], ids=lambda scene: f"large_{scene.id}"
)
async def test_so_does_every_order_of_the_steps_of_large_batches(
    database_url: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "WALLETS_READ_LEAST", 0)
    monkeypatch.setattr(writing, "ENTRIES_LEAST", 1)
    await play_scene(database_url, scene)
