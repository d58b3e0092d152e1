"""Three at once, in a selection of the orders of their steps, drawn by a seed.

Not all of them: where two wait for a row that the third has changed, PostgreSQL lets either be first.
"""

import pytest

from tests.interleavings.playing import play_scene
from tests.interleavings.scenes import Scene

SCENES = [
    Scene(
        name="three spends of which two can be afforded",
        wallets="alice",
        before="m: topup alice 30",
        acts=("a: spend alice 10", "b: spend alice 15", "c: spend alice 20"),
        orders=40,
        ends=2,
        drawn=7,
    ),
    Scene(
        name="transfers in a ring",
        wallets="alice, bob, carol",
        before="m: topup alice 10; n: topup bob 10; o: topup carol 10",
        acts=("a: transfer alice bob 15", "b: transfer bob carol 15", "c: transfer carol alice 10"),
        drawn=8,
        orders=40,
        ends=2,
    ),
    Scene(
        name="one reference three times, on three wallets",
        wallets="alice, bob, carol",
        acts=("a: topup alice 10", "a: topup bob 10 (again)", "a: topup carol 10 (once more)"),
        drawn=1,
        orders=40,
        ends=2,
    ),
    Scene(
        name="capture, void, and a merge of the hold's wallet",
        wallets="alice, bob, carol",
        before="m: topup alice 30; h: hold alice 20 to carol",
        acts=("a: capture h 15", "b: void h", "c: merge alice bob"),
        drawn=2,
        orders=40,
        ends=2,
    ),
    Scene(
        name="three refunds of what nobody locks",
        wallets="alice",
        before="s: topup GOLD.revenue 30",
        acts=("a: refund s 20", "b: refund s 15", "c: refund s 10"),
        drawn=3,
        orders=40,
        ends=2,
    ),
    Scene(
        name="merges in a row, and a capture of what they move",
        wallets="alice, bob, carol",
        before="m: topup alice 30; h: hold alice 20",
        acts=("a: merge alice bob", "b: merge bob carol", "c: capture h 15"),
        drawn=4,
        orders=40,
        ends=2,
    ),
    Scene(
        name="a spend, the close of its target, and a hold on it",
        wallets="alice, bob",
        before="m: topup alice 30",
        acts=("a: spend alice 20 to bob", "b: close bob", "c: hold alice 15 to bob"),
        drawn=5,
        orders=40,
        ends=2,
    ),
    Scene(
        name="a capture, a refund of another, and the expiry of their lot",
        wallets="alice, bob",
        before="m: topup alice 30 lot promotional in 3600; s: spend alice 10; h: hold alice 15 to bob in 3600",
        acts=("a: capture h 10", "b: refund s 5", "+7200"),
        drawn=6,
        orders=40,
        ends=2,
    ),
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.id)
async def test_orders_of_steps_end_as_some_serial_order_does(database_url: str, scene: Scene) -> None:
    await play_scene(database_url, scene)
