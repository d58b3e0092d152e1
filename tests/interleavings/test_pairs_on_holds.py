"""As test_pairs, on holds, merges, and what falls due: what is followed before it is locked, or changes with time."""

import pytest

from tests.interleavings.playing import play_scene
from tests.interleavings.scenes import Scene

SCENES = [
    # Holds
    Scene(
        name="capture and void of one hold",
        wallets="alice, bob",
        before="m: topup alice 30; h: hold alice 20 to bob",
        acts=("a: capture h", "b: void h"),
        orders=50,
        ends=2,
        steps=("find lock | load more write commit", "find lock | load more write commit"),
    ),
    Scene(
        name="two captures of one hold",
        wallets="alice, bob",
        before="m: topup alice 30; h: hold alice 20 to bob",
        acts=("a: capture h 15", "b: capture h 10 final"),
        orders=50,
        ends=2,
        steps=("find lock | load more write commit", "find lock | load more write commit"),
    ),
    # Claims
    Scene(
        name="two redemptions of a claim's last use",
        wallets="alice, bob, carol",
        before="m: topup alice 30; k: claim alice 20 in 3600",
        acts=("a: redeem k bob", "b: redeem k carol"),
        orders=50,
        ends=2,
        steps=("find lock | load more write commit", "find lock | load more write commit"),
    ),
    Scene(
        name="redemption and cancellation of a claim",
        wallets="alice, bob",
        before="m: topup alice 30; k: claim alice 10 uses 2 in 3600",
        acts=("a: redeem k bob", "b: cancel k"),
        orders=50,
        ends=2,
        steps=("find lock | load more write commit", "find lock | load more write commit"),
    ),
    Scene(
        name="a redemption, and time that passes until the claim has expired",
        wallets="alice, bob",
        before="m: topup alice 30; k: claim alice 10 uses 2 in 3600",
        acts=("a: redeem k bob", "+7200"),
        orders=7,
        ends=2,
    ),
    Scene(
        name="a merge and a redemption of what it moves",
        wallets="alice, bob, carol",
        before="m: topup alice 30; k: claim alice 10 uses 2 in 3600",
        acts=("a: merge alice bob", "b: redeem k carol"),
        ends=2,
        begins="B",
        orders=10,
    ),
    # Merges
    Scene(
        name="a merge and a spend of its source",
        wallets="alice, bob",
        before="m: topup alice 30",
        acts=("a: merge alice bob", "b: spend alice 20"),
        orders=9,
        ends=2,
        steps=("lock | load more write commit", "lock | load write commit"),
    ),
    Scene(
        name="a merge and a spend of its target",
        wallets="alice, bob",
        before="m: topup alice 30",
        acts=("a: merge alice bob", "b: spend bob 20"),
        orders=9,
        ends=2,
        steps=("lock | load more write commit", "lock | load write commit"),
    ),
    Scene(
        name="a merge and a capture of what it moves",
        wallets="alice, bob, carol",
        before="m: topup alice 30; h: hold alice 20 to carol",
        acts=("a: merge alice bob", "b: capture h 15"),
        ends=2,
        begins="B",
        # The merge begins anew with the hold's target, and lets the capture in between.
        orders=60,
    ),
    Scene(
        name="a merge and a capture into what it ends",
        wallets="alice, bob, carol",
        before="m: topup carol 30; h: hold carol 20 to alice",
        acts=("a: merge alice bob", "b: capture h 15"),
        orders=25,
        ends=2,
        steps=("lock | load more write commit", "find lock | load more write commit"),
    ),
    Scene(
        name="a merge and a refund to what it ends",
        wallets="alice, bob",
        before="m: topup alice 30; s: spend alice 20",
        acts=("a: merge alice bob", "b: refund s 15"),
        orders=27,
        ends=2,
        steps=("lock | load more write commit", "find lock | load mark mutex more write commit"),
    ),
    Scene(
        name="opposite merges",
        wallets="alice, bob",
        before="m: topup alice 30; n: topup bob 20",
        acts=("a: merge alice bob", "b: merge bob alice"),
        orders=10,
        ends=2,
        steps=("lock | load more write commit", "lock | load more write commit"),
    ),
    # Due steps
    Scene(
        name="a spend and the expiry of its lot",
        wallets="alice",
        before="m: topup alice 30 lot promotional in 3600; n: topup alice 10; +7200",
        acts=("a: spend alice 5", "b: settle alice"),
        orders=10,
        ends=1,
        steps=("lock | load more write commit", "lock | load more write commit"),
    ),
    Scene(
        name="a spend, a settlement, and time that passes between them",
        wallets="alice",
        before="m: topup alice 30 lot promotional in 3600; n: topup alice 10",
        acts=("a: spend alice 15", "b: settle alice", "+7200"),
        orders=92,
        ends=3,
    ),
    Scene(
        name="a spend, a settlement of a hold, and time that passes between them",
        wallets="alice",
        before="m: topup alice 30; h: hold alice 20 in 3600",
        acts=("a: spend alice 15", "b: settle alice", "+7200"),
        orders=92,
        ends=3,
    ),
    Scene(
        name="a spend of what a hold brings when it expires",
        wallets="alice, bob",
        before="m: topup alice 30; h: hold alice 20 to bob in 3600 on-expiry-capture",
        acts=("a: spend bob 15", "b: spend alice 15", "+7200"),
        orders=40,
        ends=3,
        drawn=1,
    ),
    Scene(
        name="a capture and the expiry of its hold",
        wallets="alice, bob",
        before="m: topup alice 30; h: hold alice 20 to bob in 3600",
        acts=("a: capture h 15", "b: settle alice", "+7200"),
        orders=40,
        ends=3,
        drawn=2,
    ),
    Scene(
        name="a merge and the expiry of a hold into what it ends",
        wallets="alice, bob, carol",
        before="m: topup carol 30; h: hold carol 20 to alice in 3600 on-expiry-capture",
        acts=("a: merge alice bob", "b: settle carol", "+7200"),
        orders=40,
        ends=3,
        drawn=3,
    ),
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.id)
async def test_every_order_of_steps_ends_as_some_serial_order_does(database_url: str, scene: Scene) -> None:
    await play_scene(database_url, scene)
