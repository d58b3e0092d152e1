"""Examples that are the same in every run, whatever else is loaded: for tests that count what examples come to."""

from collections.abc import Callable
from typing import Any

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

ROUNDS_MAX = 20
BACKEND = "without constants"


class _WithoutConstants(HypothesisProvider):
    """Hypothesis also draws the constants that it finds in the modules of this project that are loaded, so that a seed
    alone does not say what is tried. test_fixed_seeds.py fails if this does not keep it from them any more.
    """

    def _maybe_draw_constant(self, *_: Any, **__: Any) -> None:
        return None


AVAILABLE_PROVIDERS[BACKEND] = _WithoutConstants


def tried(
    function: Callable[..., None], *given_: st.SearchStrategy[Any], examples: int, number: int, backend: str = BACKEND
) -> None:
    """Call a function with the examples of the round with this number."""
    once = settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate], derandomize=False, backend=backend
    )
    seed(number)(once(given(*given_)(function)))()


def tried_until(is_enough: Callable[[], bool], *given_: st.SearchStrategy[Any], examples: int) -> Callable[[Any], None]:
    """Call a function with examples, in rounds, until there are enough of them or ROUNDS_MAX are over.

    One round would do today. The strategies change with what there is to try, and a round tries others then.
    """

    def run(function: Callable[..., None]) -> None:
        for number in range(ROUNDS_MAX):
            tried(function, *given_, examples=examples, number=number)
            if is_enough():
                return

    return run
