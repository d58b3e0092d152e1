"""docs/ledger.md is tested: what it names exists, and it says nothing that names no proof.

Whether a test proves its statement is for readers to judge; that it is there is judged here.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from wallet.ledger.outcomes import RefusalCode

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "ledger.md"
TEXT = DOCUMENT.read_text("utf-8")

# `ledger/movements/holds::a_b`, `http/operations/limits_api::TestChange.a_b`, `house::a_b`
TEST = re.compile(r"`((?:\w+/)*\w+)::(?:(\w+)\.)?(\w+)`")
DECISION = re.compile(r"\[ADR (\d+)\]\(([^)]+)\)")
POINT = re.compile(r"(?:- |\d+\. )(.+)")
FOOTNOTE = re.compile(r"\[\^([\w-]+)\]: (.+)")


def _paragraphs(text: str, begins: re.Pattern[str]) -> list[str]:
    """The paragraphs that begin like this, each on one line: lines that are indented below it go on with it."""
    found: list[list[str]] = []
    is_open = False
    for line in text.splitlines():
        is_open = bool(begins.match(line)) or (is_open and line.startswith("  "))
        if is_open and not line.startswith("  "):
            found.append([])
        if is_open:
            found[-1].append(line.strip())
    return [" ".join(lines) for lines in found]


def statements(text: str) -> list[str]:
    """The points of all lists."""
    return _paragraphs(text, POINT)


def proofs(text: str) -> dict[str, str]:
    """The footnotes, by name."""
    pairs = [FOOTNOTE.findall(each)[0] for each in _paragraphs(text, FOOTNOTE)]
    assert len(dict(pairs)) == len(pairs), "two footnotes have one name"
    return dict(pairs)


def _path_of(module: str) -> Path:
    folder, _, name = module.rpartition("/")
    return ROOT / "tests" / folder / f"test_{name}.py"


@cache
def _tests_in(path: Path) -> frozenset[tuple[str, str]]:
    """The tests of a file, as (class or nothing, name without `test_`)."""
    return frozenset(_tests(ast.parse(path.read_text("utf-8")), "")) if path.exists() else frozenset()


def _tests(tree: ast.Module | ast.ClassDef, owner: str) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not owner:
            yield from _tests(node, node.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield owner, node.name.removeprefix("test_")


def missing(proof: str) -> list[str]:
    """The tests and decisions that a footnote names and that do not exist."""
    lost = [
        f"{_path_of(module).relative_to(ROOT)}: {owner}{'.' if owner else ''}test_{name}"
        for module, owner, name in TEST.findall(proof)
        if (owner, name) not in _tests_in(_path_of(module))
    ]
    lost += [
        target
        for number, target in DECISION.findall(proof)
        if not (DOCUMENT.parent / target).exists() or f"/{int(number):04}-" not in target
    ]
    return lost


def test_every_test_and_decision_that_a_footnote_names_is_there() -> None:
    assert [each for proof in proofs(TEXT).values() for each in missing(proof)] == []


def test_every_statement_ends_with_a_footnote_of_its_own_and_every_footnote_is_a_statements() -> None:
    ends = [re.search(r"\.\[\^([\w-]+)\]$", each) for each in statements(TEXT)]
    assert [each for each, end in zip(statements(TEXT), ends, strict=True) if end is None] == []
    assert [end[1] for end in ends if end is not None] == list(proofs(TEXT))


def test_every_footnote_names_tests_and_decisions_each_once_and_nothing_else() -> None:
    for name, proof in proofs(TEXT).items():
        assert DECISION.sub("", TEST.sub("", proof)).strip() == "", name
        named = TEST.findall(proof) + DECISION.findall(proof)
        assert named, name
        assert len(set(named)) == len(named), name


@pytest.mark.parametrize("code", RefusalCode, ids=lambda code: code.value)
def test_every_refusal_is_spoken_of(code: RefusalCode) -> None:
    assert f"`{code.value}`" in TEXT


def test_the_order_of_decisions_is_the_order_of_the_codes() -> None:
    (order,) = [each for each in statements(TEXT) if "the first in this order" in each]
    codes = [each for each in re.findall(r"`(\w+)`", order) if each in {code.value for code in RefusalCode}]
    assert codes == [code.value for code in RefusalCode if code is not RefusalCode.GROUP_REFUSED]


def test_what_is_wrong_is_found() -> None:
    text = "- It is so.\n- And\n  so.[^a]\n\n[^a]: `house::nothing`\n    [ADR 9](adr/0008-legs-unbalanced.md)\n\n  no\n"
    assert statements(text) == ["- It is so.", "- And so.[^a]"]
    assert proofs(text) == {"a": "`house::nothing` [ADR 9](adr/0008-legs-unbalanced.md)"}
    assert missing(proofs(text)["a"]) == ["tests/test_house.py: test_nothing", "adr/0008-legs-unbalanced.md"]
    assert missing("`ledger/nowhere::a`") == ["tests/ledger/test_nowhere.py: test_a"]
    assert missing("`http/operations/limits_api::what_is_absent_stays_as_it_is`") != [], "it is in a class"
    assert missing("`http/operations/limits_api::TestChange.what_is_absent_stays_as_it_is`") == []
