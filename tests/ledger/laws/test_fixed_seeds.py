"""Fixed seeds try the same in every run, whatever other tests have loaded."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.ledger.laws.fixed_seeds import BACKEND, tried

CHOICES = st.lists(st.integers(0, 10**6), min_size=10, max_size=10)


def examples(backend: str) -> list[list[int]]:
    found: list[list[int]] = []

    def note(choices: list[int]) -> None:
        found.append(choices)

    tried(note, CHOICES, examples=50, number=0, backend=backend)
    return found


def load_module_with_constants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    file = tmp_path / f"{name}.py"
    file.write_text("\n".join(f"X{number} = {1_000 + 7 * number}" for number in range(500)))
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize(("backend", "is_same"), [(BACKEND, True), ("hypothesis", False)])
def test_what_is_tried_does_not_depend_on_the_modules_that_are_loaded(
    backend: str, is_same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = examples(backend)
    assert examples(backend) == before
    load_module_with_constants(tmp_path, monkeypatch, f"constants_for_{is_same}")
    assert (examples(backend) == before) is is_same
