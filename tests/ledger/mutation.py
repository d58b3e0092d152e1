"""Mutation testing of the ledger's core: `python -m tests.ledger.mutation [module …]`.

Each mutant is the core with one small change in one place: a comparison turned, a sum made a difference, a condition
negated, a constant moved by one, a statement left out. The tests of the ledger run on a copy of it and should fail; a
mutant that survives is a line whose meaning no test holds fast, or one that means nothing.

`--count N` picks N mutants at random (`--seed` says which), `--minutes M` stops after that long, `--jobs J` at once.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "wallet" / "ledger"
TIMEOUT_SECONDS = 180
# Cheapest first, so that most mutants fall within a second or two; the first failure ends it.
TESTS = ("test_instants", "rules/test_refusal_stories", "rules/test_refusals", "movements/test_movements",
         "test_idempotency", "movements/test_holds", "movements/test_lots", "movements/test_carrying",
         "movements/test_refunds", "movements/test_wallet_life", "movements/test_options",
         "movements/test_review_money", "test_spec_stories", "test_fingerprint", "test_audit",
         "laws/test_laws", "movements/test_due_portions",
         "laws/test_story_laws", "laws/test_machine")  # fmt: skip
COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
            ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult}


class Mutant(NamedTuple):
    path: Path
    line: int
    what: str
    source: str


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every mutant of a module, one change each."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = list(ast.walk(tree))
    guards = {id(node.value) for node in nodes if isinstance(node, ast.keyword) and node.arg == "strict"}
    strict = {number for number, node in enumerate(nodes) if id(node) in guards}
    for number, node in enumerate(nodes):
        if isinstance(node, ast.Constant) and number in strict:
            continue  # zip(strict=…) is a guard
        for what, _ in _changes(node):
            copied = deepcopy(tree)
            twin = list(ast.walk(copied))[number]
            dict(_changes(twin))[what]()
            source = ast.unparse(ast.fix_missing_locations(copied))
            yield Mutant(path, getattr(node, "lineno", 0), what, source)


def _changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """Ways to change a node, each with a name and a function that does it."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in COMPARED:
            other = COMPARED[type(operator)]
            yield f"{_name(operator)} becomes {other.__name__}", lambda: node.ops.__setitem__(0, other())
        case ast.BinOp(op=operator) if type(operator) in COMPUTED:
            other = COMPUTED[type(operator)]
            yield f"{_name(operator)} becomes {other.__name__}", lambda: setattr(node, "op", other())
        case ast.BoolOp(op=operator):
            other = ast.Or if isinstance(operator, ast.And) else ast.And
            yield f"{_name(operator)} becomes {other.__name__}", lambda: setattr(node, "op", other())
            for at in range(len(node.values)):
                yield f"without operand {at}", lambda at=at: node.values.pop(at)
        case ast.UnaryOp(op=ast.Not()):
            yield "without not", lambda: setattr(node, "op", ast.UAdd()) or _unwrap(node)
        case ast.If() | ast.IfExp() | ast.While():
            yield "condition negated", lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            other_name = "max" if name == "min" else "min"
            yield f"{name} becomes {other_name}", lambda: setattr(node.func, "id", other_name)
        case ast.Call(func=ast.Name(id="reversed")):
            yield "reversed becomes list", lambda: setattr(node.func, "id", "list")
        case ast.Constant(value=bool() as value):
            yield f"{value} becomes {not value}", lambda: setattr(node, "value", not value)
        case ast.Constant(value=int() as value):
            yield f"{value} becomes {value + 1}", lambda: setattr(node, "value", value + 1)
    for field in ("body", "orelse"):
        body = getattr(node, field, None)
        if isinstance(body, list) and not isinstance(node, ast.Module | ast.ClassDef):
            for at, statement in enumerate(body):
                is_call = isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant)
                if is_call or isinstance(statement, ast.AugAssign | ast.Continue | ast.Break):
                    change = partial(body.__setitem__, at, ast.Pass())
                    yield f"without {ast.unparse(statement)[:60]}", change


def _unwrap(node: ast.UnaryOp) -> None:
    # `not x` becomes bool(x): a truth of the same kind.
    node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)


def _name(node: ast.AST) -> str:
    return type(node).__name__


def survives(mutant: Mutant, copy: Path) -> bool:
    """Whether all tests pass on a copy of the repository with the mutant in its place."""
    place = copy / mutant.path.relative_to(ROOT)
    original = place.read_text("utf-8")
    place.write_text(mutant.source, "utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(copy / "src"), str(copy)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(copy / ".hypothesis"),
        "WALLET_STORIES": "60",
        "WALLET_LAW_EXAMPLES": "40",
    }
    tests = [str(copy / "tests" / "ledger" / f"{name}.py") for name in TESTS]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
    try:
        ran = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=TIMEOUT_SECONDS, check=False
        )
        return ran.returncode == 0
    except subprocess.TimeoutExpired:
        return False  # an endless loop is noticed, too
    finally:
        place.write_text(original, "utf-8")


def _copied(folder: Path) -> Path:
    for name in ("src", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(mutants: Sequence[Mutant], *, jobs: int, minutes: float) -> tuple[int, list[Mutant]]:
    """How many were tried in time, and which survived."""
    ends = time.monotonic() + 60 * minutes
    tried, survivors = 0, []
    with tempfile.TemporaryDirectory(prefix="mutants") as folder, ThreadPoolExecutor(jobs) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copies.put(_copied(Path(folder) / str(number)))

        unchanged = Mutant(mutants[0].path, 0, "nothing", mutants[0].path.read_text("utf-8"))
        if not survives(unchanged, Path(folder) / "0"):
            raise SystemExit("the tests fail without a mutant")

        def attempt(mutant: Mutant) -> bool | None:
            if time.monotonic() > ends:
                return None
            copy = copies.get()
            try:
                return survives(mutant, copy)
            finally:
                copies.put(copy)

        for mutant, survived in zip(mutants, pool.map(attempt, mutants), strict=True):
            if survived is None:
                continue
            tried += 1
            if survived:
                survivors.append(mutant)
                print(f"survived: {mutant.path.relative_to(ROOT)}:{mutant.line}: {mutant.what}", flush=True)
    return tried, survivors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="paths below src/wallet/ledger; all, if none is given")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    wanted = parser.parse_args()
    paths = [CORE / name for name in wanted.modules] or sorted(CORE.rglob("*.py"))
    every = [mutant for path in paths for mutant in mutants_of(path)]
    random.Random(wanted.seed).shuffle(every)
    tried, survivors = run(every[: wanted.count], jobs=wanted.jobs, minutes=wanted.minutes)
    killed = tried - len(survivors)
    print(f"{killed} of {tried} mutants were noticed ({100 * killed // max(tried, 1)} %), of {len(every)} in all")


if __name__ == "__main__":
    main()
