"""A scene as a test: every order of steps is played, and each must end as some serial order does."""

import os
from collections.abc import Sequence

from tests.interleavings.scenes import Scene
from tests.interleavings.schedule import Order, every_order, some_orders
from tests.interleavings.stage import stage_of


async def play_scene(dsn: str, scene: Scene) -> None:
    """Play all orders, or only the one that WALLET_ORDER names by the letters of those who take its steps."""
    seen: dict[str, Order] = {}
    async with stage_of(dsn, scene) as stage:

        async def play(order: Order) -> None:
            try:
                end = await stage.play(order)
            except Exception as error:
                raise AssertionError(_failure(scene, order, f"{type(error).__name__}: {error}")) from error
            if end not in scene.lawful_ends:
                raise AssertionError(
                    _failure(scene, order, f"ends in\n{end}\nwhich none of these is:\n{_lawful(scene)}")
                )
            seen.setdefault(end, order)

        if told := os.environ.get("WALLET_ORDER"):
            await play(order := Order(told))
            print(f"{scene.name}, in the order {order.taken}\n{order}")
            return
        if scene.drawn is None:
            orders = await every_order(play, scene.begins, at_most=scene.orders)
        else:
            orders = await some_orders(play, scene.orders, scene.drawn)
        await stage.check()
    _check_count(scene, orders)
    # Drawn orders may miss one on a server that wakes waiters in another order.
    is_enough = len(seen) == scene.ends if scene.drawn is None else len(seen) >= scene.ends
    assert is_enough, "\n".join(f"{order.taken}:\n{end}" for end, order in seen.items())


def _check_count(scene: Scene, orders: Sequence[Order]) -> None:
    """Whether as many were tried as there are, so that no test silently tries nothing."""
    first, last = orders[0], orders[-1]
    assert len({order.taken for order in orders}) == scene.orders, f"{len(orders)} orders, from\n{first}\nto\n{last}"
    if scene.steps:
        assert scene.orders_allowed == scene.orders
        # In the first order A goes on for as long as it can, in the last one B.
        for order, letter, steps in zip((first, last), "AB", scene.steps, strict=True):
            begun = scene.begins.count(letter)
            assert order.steps_of(letter)[begun:] == steps.replace("|", "").split()


def _lawful(scene: Scene) -> str:
    return "\n".join(f"{letters}:\n{end}" for end, letters in scene.lawful_ends.items())


def _failure(scene: Scene, order: Order, why: str) -> str:
    return (
        f"{scene.name}, in the order {order.taken}\n{order}\n{why}\n"
        f"to see it again: WALLET_ORDER={order.taken} pytest tests/interleavings -k {scene.id}"
    )
