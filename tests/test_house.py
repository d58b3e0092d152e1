"""The rules of the house as tests, each with its reason.

Every rule is a function from source to the places that break it, so that each can be shown a bad example as well.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests import prose
from wallet.http.wire.problems import PROBLEMS
from wallet.ledger.outcomes import RefusalCode

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "wallet"
MODULES = {str(path.relative_to(PACKAGE)): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
SQL_FILES = {
    str(path.relative_to(PACKAGE)): path.read_text("utf-8")
    for path in sorted(PACKAGE.rglob("*.sql"))
    if "migrations" not in path.parts
}
SQL_FILES.pop("storage/schema/schema.sql")  # the whole schema: no statements to name

# A floor may import the floors below it only. A module that imports nothing of ours but errors may be imported by all.
FLOORS = ["errors|origins", "settings|telemetry|__init__", "ledger", "storage", "service", "http", "bootstrap", "cli"]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split("|")}
LEAVES = {"errors", "origins", "settings", "telemetry", "__init__"}

# The rooms of a floor, from the one that may see all others to the one that sees none. A module that is not listed is
# beside the rooms, and may be imported by all rooms that it does not import.
ROOMS = {
    "http": ["application", "document", "routes", "bulk", "edge", "operations", "open", "wire"],
    "service": ["wallet_service", "programmes", "access", "reads", "keepers", "demo", "writes", "due"],
    "storage": ["registry", "verify", "batch", "reads", "chain", "upkeep", "schema", "rows", "connections"],
}
# Besides: the server serves any application, and the embedded PostgreSQL is apart from all that asks one.
ALONE: dict[str, dict[str, set[str]]] = {"http": {"server": {"open", "wire"}}, "storage": {"embedded": set()}}
MODULES_IN_A_FOLDER_MAX = 18
HALLS = {
    "src/wallet/http/routes": "a file a resource, with its bodies and answers",
    "tests/bench": "one program, `make bench`, which shares nothing with the service that it measures",
    "tests/faults": "one program, `make torture`",
}
# Folders of tests that follow no room: they try the whole ledger.
NO_ROOM = {"ledger/laws", "ledger/oracle"}

# No clock, no ids, no randomness, no logging, no await.
IMPURE = {"asyncio", "logging", "os", "random", "secrets", "socket", "subprocess", "threading", "time"}
IMPURE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "float", "round", "print", "open"}

INNER_IMPORTS = {
    # The migration library is as large as the rest of the program, and most starts need no migration.
    ("storage/schema/migrate.py", "wallet.storage.schema.upgrade"),
}

BANNED_WORDS = {"helper", "helpers", "info", "manager", "managers", "util", "utils"}
DATA_IS_THE_NAME = {
    "http/routes/": "Litestar's name for the decoded body of a handler",
    "http/operations/perform.py": "takes those bodies from both lanes",
    "http/server/bounded_protocol.py": "asyncio.Protocol's own name",
    "http/operations/resource_answers.py": "api.md's name for the rows of a page",
    "http/routes/statement_answers.py": "api.md's name for the rows of a page",
    "service/reads/pages.py": "api.md's name for the rows of a page",
}

FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 400

Rule = Callable[[str, str], Iterator[str]]


@cache
def _parse(source: str) -> ast.Module:
    return ast.parse(source)


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            # `from wallet import x` names a module or the package's own __version__.
            names = [f"wallet.{alias.name}" for alias in node.names] if module == "wallet" else [module]
            yield from ((node.lineno, name.replace("wallet.__version__", "wallet.__init__")) for name in names)


def _functions(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imports_point_downwards(path: str, source: str) -> Iterator[str]:
    """Rules are read without meeting a socket, SQL without meeting a rule, and every edge can be replaced."""
    package = path.split("/")[0].removesuffix(".py")
    for line, module in _imports(_parse(source)):
        if module.startswith("."):
            yield f"{line}: relative import"
        if not module.startswith("wallet."):
            continue
        target = module.split(".")[1]
        sideways = FLOOR[target] == FLOOR[package] and target != package
        leaf = package in LEAVES and target not in ("errors", "origins", "__init__", package)
        if FLOOR[target] > FLOOR[package] or sideways or leaf:
            yield f"{line}: {package} imports {target}"


def rooms_are_built_on_each_other(path: str, source: str) -> Iterator[str]:
    """A reader finds the way if a room sees those below it and never those above."""
    floor, _, rest = path.partition("/")
    room = rest.partition("/")[0].removesuffix(".py")
    order, alone = ROOMS.get(floor, []), ALONE.get(floor, {})
    for line, module in _imports(_parse(source)):
        if not rest or not module.startswith(f"wallet.{floor}."):
            continue
        target = module.split(".")[2]
        if room in alone:
            is_wrong = target != room and target not in alone[room]
        else:
            is_upwards = room in order and target in order and order.index(target) < order.index(room)
            is_wrong = is_upwards or target in alone
        if is_wrong:
            yield f"{line}: {floor}/{room} imports {target}"


def only_storage_imports_the_driver(path: str, source: str) -> Iterator[str]:
    """One place translates what the driver raises and returns."""
    for line, module in _imports(_parse(source)):
        if module.split(".")[0] in ("asyncpg", "sqlalchemy", "alembic") and not path.startswith("storage/"):
            yield f"{line}: {module}"


def the_ledger_is_pure(path: str, source: str) -> Iterator[str]:
    """A decision depends on its arguments and on nothing else, so it can be tried, replayed and proved."""
    if not path.startswith("ledger/"):
        return
    for line, module in _imports(_parse(source)):
        ours = module == "wallet.errors" or f"{module}.".startswith("wallet.ledger.")
        if not ours and (module.split(".")[0] not in sys.stdlib_module_names or module.split(".")[0] in IMPURE):
            yield f"{line}: imports {module}"
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield f"{node.lineno}: async"
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in IMPURE_CALLS:
                yield f"{node.lineno}: calls {name}"


def no_float_touches_money(path: str, source: str) -> Iterator[str]:
    """A double holds 53 bits; an amount has 63."""
    if not path.startswith("ledger/"):
        return
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.Div) or (isinstance(node, ast.Constant) and isinstance(node.value, float)):
            yield f"{getattr(node, 'lineno', '?')}: float"
        if isinstance(node, ast.Name) and node.id in ("float", "round", "Decimal"):
            yield f"{node.lineno}: {node.id}"


def no_import_hides_in_a_function(path: str, source: str) -> Iterator[str]:
    """It hides a cycle, or a cost that falls on the first request. The exceptions have their reasons above."""
    for function in _functions(source):
        for line, module in _imports(function):
            if (path, module) not in INNER_IMPORTS:
                yield f"{line}: {function.name} imports {module}"


# With something after it: a keyword alone may be a statement's name, or an answer that is compared.
SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|WITH \w+ AS|CREATE (TABLE|INDEX|ROLE|DATABASE|SCHEMA)|ALTER"
    r"|DROP|TRUNCATE|GRANT|LOCK TABLE|SET (LOCAL |SESSION )?\w+ *(=|TO)|BEGIN|START|ROLLBACK|NOTIFY|LISTEN)(\s+\S|;)"
)


def no_sql_in_python(path: str, source: str) -> Iterator[str]:
    """SQL is read, linted and explained in .sql files."""
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Upper or lower case; a capitalised Select may begin a sentence.
            text = node.value.upper() if node.value.islower() else node.value
            if SQL.match(text):
                yield f"{node.lineno}: {text.split(chr(10))[0][:60]}"


def no_assert_in_the_product(path: str, source: str) -> Iterator[str]:
    """`python -O` removes it; ensure() stays."""
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.Assert):
            yield f"{node.lineno}"


def no_default_swallows_a_kind(path: str, source: str) -> Iterator[str]:
    """A match over a closed union ends in assert_never, so that type checking fails where a kind is forgotten."""
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.Match):
            *_, last = node.cases
            ends = [getattr(each.func, "id", "") for each in ast.walk(last) if isinstance(each, ast.Call)]
            if not isinstance(last.pattern, ast.MatchAs) or last.pattern.pattern or "assert_never" not in ends:
                yield f"{node.lineno}"


def functions_fit_a_screen(path: str, source: str) -> Iterator[str]:
    """Past this, ask whether two ideas share a room. Functions inside are counted as their own, not as their host's."""
    for function in _functions(source):
        lines = _length(function) - sum(_length(inner) for inner in _inner_functions(function))
        if lines > FUNCTION_LINES_MAX:
            yield f"{function.lineno}: {function.name} has {lines} lines"


def _inner_functions(function: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for child in ast.iter_child_nodes(function):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        else:
            yield from _inner_functions(child)


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return (function.end_lineno or first) - first + 1


def modules_hold_one_idea(path: str, source: str) -> Iterator[str]:
    """The same, for modules."""
    if (lines := len(source.splitlines())) > MODULE_LINES_MAX:
        yield f"{lines} lines"


def names_say_something(path: str, source: str) -> Iterator[str]:
    """A manager manages, data is anything: such a name is where a thought was saved that every reader must now have."""
    for line, name in _names(source):
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
        if words & BANNED_WORDS:
            yield f"{line}: {name}"
        is_excused = any(path.startswith(prefix) for prefix in DATA_IS_THE_NAME)
        if name.strip("_") == "data" and not is_excused:
            yield f"{line}: {name}"


def _names(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(_parse(source)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def each_room_says_where_to_begin(path: str, source: str) -> Iterator[str]:
    """A stranger reads what a room is for, what does not belong in it, and which module to open first."""
    if path.endswith("__init__.py"):
        first = re.search(r"Begin\s+with\s+([\w/]+)", ast.get_docstring(_parse(source)) or "")
        if first is None or f"{path.removesuffix('__init__.py')}{first[1]}.py" not in MODULES:
            yield f"1: {first[0] if first else 'no module to begin with'}"


# Each rule, and what it must catch: a path and a line that breaks it.
RULES: dict[Rule, tuple[str, str]] = {
    imports_point_downwards: ("storage/x.py", "from wallet.service.writes.commands import Commands"),
    rooms_are_built_on_each_other: ("http/wire/x.py", "from wallet.http.routes.shared import y"),
    only_storage_imports_the_driver: ("service/x.py", "import asyncpg.pgproto"),
    the_ledger_is_pure: ("ledger/x.py", "from datetime import datetime\nNOW = datetime.now()"),
    no_float_touches_money: ("ledger/x.py", "half = amount / 2"),
    no_import_hides_in_a_function: ("http/x.py", "def f():\n    import json"),
    no_sql_in_python: ("storage/x.py", 'connection.execute("""\n   SELECT 1""")'),
    no_assert_in_the_product: ("http/x.py", "assert True"),
    no_default_swallows_a_kind: ("http/x.py", "match x:\n    case A():\n        f()\n    case _:\n        g()"),
    functions_fit_a_screen: ("http/x.py", "def f():\n" + "    pass\n" * 60),
    modules_hold_one_idea: ("http/x.py", "\n" * 401),
    names_say_something: ("http/x.py", "class WalletManager: ..."),
    each_room_says_where_to_begin: ("http/__init__.py", '"""All about HTTP."""'),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rule(rule: Rule) -> None:
    broken = [f"{path}:{place}" for path, source in MODULES.items() for place in rule(path, source)]
    assert not broken, f"{rule.__doc__}\n" + "\n".join(broken)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_catches_what_breaks_it(rule: Rule) -> None:
    assert list(rule(*RULES[rule]))


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (imports_point_downwards, "ledger/x.py", "from wallet.settings import Settings, x\nfrom wallet import storage"),
        (imports_point_downwards, "http/x.py", "import wallet.bootstrap"),
        (imports_point_downwards, "settings.py", "from wallet.telemetry import Telemetry"),
        (imports_point_downwards, "http/x.py", "from .y import z"),
        (rooms_are_built_on_each_other, "http/server/x.py", "from wallet.http.edge.edge import Edge"),
        (rooms_are_built_on_each_other, "http/edge/x.py", "from wallet.http.server.serve import serve"),
        (rooms_are_built_on_each_other, "storage/rows/x.py", "from wallet.storage.batch.commit import commit_batch"),
        (the_ledger_is_pure, "ledger/x.py", "import msgspec"),
        (the_ledger_is_pure, "ledger/x.py", "from time import monotonic"),
        (the_ledger_is_pure, "ledger/x.py", "from wallet.settings import Settings"),
        (the_ledger_is_pure, "ledger/x.py", "async def f(): ..."),
        (no_float_touches_money, "ledger/x.py", "rate = 1.5"),
        (no_float_touches_money, "ledger/x.py", "x = round(amount)"),
        (no_sql_in_python, "storage/x.py", "x = f'INSERT INTO wallets VALUES ({y})'"),
        (no_sql_in_python, "storage/x.py", "x = 'select 1'"),
        (no_default_swallows_a_kind, "http/x.py", "match x:\n    case A():\n        f()"),
        (each_room_says_where_to_begin, "http/__init__.py", '"""All about HTTP. Begin with nothing."""'),
        (names_say_something, "http/x.py", "user_info = 1"),
        (names_say_something, "storage/x.py", "def f(data): ..."),
        (names_say_something, "http/x.py", "self.helper = 1"),
    ],
)
def test_other_ways_to_break_a_rule_are_caught_too(rule: Rule, path: str, source: str) -> None:
    assert list(rule(path, source))


@pytest.mark.parametrize(("path", "module"), INNER_IMPORTS)
def test_an_excused_inner_import_is_there(path: str, module: str) -> None:
    assert any(module == name for function in _functions(MODULES[path]) for _, name in _imports(function))


def names_of_two_things(modules: Mapping[str, str]) -> list[str]:
    """A reader who has met a class knows it wherever its name stands. Aliases may be written again as they are."""
    meanings: dict[str, set[str]] = {}
    for path, source in modules.items():
        for node in ast.walk(_parse(source)):
            if isinstance(node, ast.ClassDef):
                meanings.setdefault(node.name, set()).add(f"class in {path}")
        for node in _parse(source).body:
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ) if re.match(r"[A-Z]\w*[a-z]", name):
                    meanings.setdefault(name, set()).add(ast.unparse(value))
    return [f"{name}: {', '.join(sorted(found))}" for name, found in sorted(meanings.items()) if len(found) > 1]


def test_one_class_name_means_one_class() -> None:
    assert names_of_two_things(MODULES) == [], names_of_two_things.__doc__


def test_a_name_of_two_things_is_caught() -> None:
    assert names_of_two_things({"a.py": "class X: ...", "b.py": "class X: ..."}) != []
    assert names_of_two_things({"a.py": "class X1: ...", "b.py": "def f():\n    class X1: ..."}) != []
    assert names_of_two_things({"a.py": "class Xx: ...", "b.py": "Xx = int"}) != []
    assert names_of_two_things({"a.py": "Xx: TypeAlias = str", "b.py": "Xx: TypeAlias = int"}) != []
    assert names_of_two_things({"a.py": "Xx = int\nX = 1", "b.py": "Xx = int\nX = 2"}) == []


def test_no_folder_is_a_hall() -> None:
    # Among more, one looks for a name instead of a subject.
    paths = [path.relative_to(ROOT) for folder in (PACKAGE, ROOT / "tests") for path in folder.rglob("*.py")]
    folders = Counter(str(path.parent) for path in paths if path.name != "__init__.py")
    assert {folder for folder, count in folders.items() if count > MODULES_IN_A_FOLDER_MAX} == HALLS.keys()


@pytest.mark.parametrize("floor", ["ledger", "storage", "service", "http"])
def test_tests_are_found_where_the_code_is(floor: str) -> None:
    files = (ROOT / "tests" / floor).rglob("*.py")
    folders = {str(path.parent.relative_to(ROOT / "tests")) for path in files}
    assert {folder for folder in folders - NO_ROOM if not (PACKAGE / folder / "__init__.py").exists()} == set()


# SQL


def _statements(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, header and body of each statement."""
    starts = [match.start() for match in re.finditer(r"^-- name:", text, re.MULTILINE)]
    for start, end in pairwise([*starts, len(text)]):
        lines = text[start:end].splitlines()
        header = "\n".join(line for line in lines[1:] if line.startswith("--"))
        body = " ".join(line for line in lines if line and not line.startswith("--"))
        yield lines[0].removeprefix("-- name:").strip(), header, body


def silent_statements(text: str) -> list[str]:
    """A statement is read far from its call: its header says what goes in, what comes out, or why it is there."""
    return [
        name
        for name, header, body in _statements(text)
        # A single keyword (ROLLBACK;) says all there is to say.
        if not re.search(r"^-- (why|in|out): +\S", header, re.MULTILINE) and " " in body
    ]


def misnamed_statements(text: str) -> list[str]:
    """A name is how a statement is found, from code and in the server's logs."""
    names = [name for name, _, _ in _statements(text)]
    nameless = [line for line in text.split("-- name:")[0].splitlines() if line and not line.startswith("--")]
    empty = [name for name, _, body in _statements(text) if not body]
    return nameless + empty + [name for name in names if names.count(name) > 1 or not re.fullmatch(r"\w+", name)]


@pytest.mark.parametrize("file_name", SQL_FILES)
def test_every_statement_says_what_goes_in_or_out_or_why(file_name: str) -> None:
    assert silent_statements(SQL_FILES[file_name]) == [], silent_statements.__doc__


@pytest.mark.parametrize("file_name", SQL_FILES)
def test_every_statement_has_a_name_of_its_own(file_name: str) -> None:
    assert "-- name:" in SQL_FILES[file_name]
    assert misnamed_statements(SQL_FILES[file_name]) == [], misnamed_statements.__doc__


def test_a_statement_that_breaks_these_rules_is_caught() -> None:
    assert silent_statements("-- name: one\n-- about this\nSELECT 1;") == ["one"]
    assert silent_statements("-- name: one\n-- why: to see\nSELECT 1;\n-- name: rollback\nROLLBACK;") == []
    assert misnamed_statements("SELECT 1;\n-- name: one\nSELECT 1;") == ["SELECT 1;"]
    assert misnamed_statements("-- name: one\nSELECT 1;\n-- name: one\nSELECT 1;") == ["one", "one"]
    assert misnamed_statements("-- name: one two\nSELECT 1;") == ["one two"]
    assert misnamed_statements("-- name: one\n-- why: nothing follows\n") == ["one"]


# Errors


def test_every_refusal_has_a_status() -> None:
    assert {code.value for code in RefusalCode} <= PROBLEMS.keys()


def test_every_problem_has_a_paragraph_where_its_type_points_to_and_no_other_has_one() -> None:
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")
    paragraphs = dict(re.findall(r"^#+ `?([a-z_]+)`?\n+([^#\n].+)$", text, re.MULTILINE))
    assert paragraphs.keys() == PROBLEMS.keys()


def test_the_table_of_the_document_says_what_problems_say() -> None:
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\w+) \| (\w+) \|$", text, re.MULTILINE)
    problems = {code: (each.status, each.applied, each.retry) for code, each in PROBLEMS.items()}
    assert {code: (int(status), applied, retry) for code, status, applied, retry in rows} == problems
    assert len(rows) == len(problems)


def test_a_problem_that_may_have_been_applied_is_never_to_be_asked_again_with_another_reference() -> None:
    for code, each in PROBLEMS.items():
        assert each.applied in ("no", "unknown"), code
        assert each.retry in ("never", "later", "same_reference"), code
        assert (each.applied == "unknown") <= (each.retry in ("never", "same_reference")), code
        # An answer about something that is away for the moment says when another try is worth it.
        assert each.retry != "never" or each.status not in (429, 503), code


def test_the_errors_that_are_documented_are_those_that_are_served() -> None:
    # One file: an editor that replaces the link docs/errors.md by a file makes two, which then differ.
    assert (ROOT / "docs" / "errors.md").resolve() == PACKAGE / "http" / "document" / "errors.md"


def wrong_starts(text: str) -> list[str]:
    """Lists that begin with another number than 0 or 1: a paragraph whose first word is a number and a full stop."""
    tokens = MarkdownIt().parse(text)
    return [
        f"{token.map[0] + 1}: {token.attrs['start']}"
        for token in tokens
        if token.type == "ordered_list_open" and token.attrs.get("start", 1) not in (0, 1) and token.map
    ]


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]), ids=lambda path: path.name
)
def test_no_paragraph_of_a_document_is_a_list_by_mistake(path: Path) -> None:
    assert wrong_starts(path.read_text("utf-8")) == [], wrong_starts.__doc__


def test_a_paragraph_that_begins_with_a_status_is_caught() -> None:
    assert wrong_starts("### code\n\n404. There is none.\n") == ["3: 404"]
    assert wrong_starts("1. One\n2. Two\n\n**404.** There is none.\n") == []


# Words


# A subject is a word that names something. "Who asks twice gets one answer" makes the reader look for it.
HEADLESS = re.compile(r"(Who|Whom|Whose|What|Where|Which)(ever)?\b")

# A migration that may be applied somewhere is never edited, not even its words.
MIGRATIONS_OF_RELEASES = range(1, 8)


def _prose() -> dict[str, list[Path]]:
    """The files with prose, by folder. This module has examples of bad sentences."""
    folders = [PACKAGE, *(ROOT / name for name in ("docs", "tests", "tools", "examples", ".github"))]
    files = [*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*") if not path.is_symlink())]
    places: dict[str, list[Path]] = {}
    for path in files:
        number = re.match(r"versions/(\d+)_", f"{path.parent.name}/{path.name}")
        is_fixed = number is not None and int(number[1]) in MIGRATIONS_OF_RELEASES
        if path.suffix in (".py", ".sql", ".md") and not is_fixed and path != Path(__file__):
            places.setdefault(str(path.parent.relative_to(ROOT)), []).append(path)
    return places


PROSE = _prose()


def is_headless(sentence: str) -> bool:
    """A sentence, label or heading names its subject first: "The caller", "A wallet". Questions may ask for it."""
    return bool(HEADLESS.match(sentence)) and not sentence.endswith("?")


@pytest.mark.parametrize("place", sorted(PROSE))
def test_a_sentence_begins_with_its_subject(place: str) -> None:
    found = [f"{path.name}: {each}" for path in PROSE[place] for each in prose.sentences(path) if is_headless(each)]
    assert not found, f"{is_headless.__doc__}\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("paragraphs", "text", "headless"),
    [
        (prose.of_markdown, "Who asks twice gets one answer.", {"Who"}),
        (prose.of_markdown, "It is so: **What is due** comes first.[^a] Whatever it is.", {"What", "Whatever"}),
        (
            prose.of_markdown,
            "## What is kept\n\n- Where\n\n| Whose | a |\n|---|---|\n| Which | b |",
            {"What", "Where", "Whose", "Which"},
        ),
        (prose.of_markdown, "## Who refused this?\n\n**What is it?** A wallet.\n\n```\nWhat is it.\n```\n", {}),
        (prose.of_markdown, "The caller decides what is due, whoever it is. When it is due, it is posted.", {}),
        (prose.of_python, '"""What a module holds."""', {"What"}),
        (prose.of_python, "x = 1  # Where it is\n# And\n# so. Whose it is.", {"Where", "Whose"}),
        (prose.of_python, 'raise Error(f"No. {code} Which it is")\n"""A.\n\nWhom it is for."""', {"Which", "Whom"}),
        (prose.of_python, '"""The texts of a module. What is it? A text."""\nx = f"{Where}"', {}),
        (
            prose.of_sql,
            "-- name: a\n-- why: Whoever\n--   asks.\n-- out: it\nSELECT 1; -- What it is",
            {"Whoever", "What"},
        ),
    ],
)
def test_a_sentence_without_a_subject_is_found(
    paragraphs: Callable[[str], Iterator[str]], text: str, headless: Collection[str]
) -> None:
    found = [each for paragraph in paragraphs(text) for each in prose.split(paragraph) if is_headless(each)]
    assert {each.split()[0] for each in found} == set(headless)


# The map of the code


def paths_named(text: str) -> set[str]:
    """The paths of files and folders that a document names as code, outside of blocks."""
    code = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return {each for each in code if re.fullmatch(r"[\w.-]+(/[\w.-]+)*(/|\.(py|sql|md|yml|toml))", each)}


def test_each_path_on_the_map_of_the_code_exists() -> None:
    named = paths_named((ROOT / "docs" / "hacking.md").read_text("utf-8"))
    assert {each for each in named if not any((place / each).exists() for place in (ROOT, PACKAGE))} == set()


def test_each_folder_of_the_package_is_on_the_map_of_the_code() -> None:
    named = paths_named((ROOT / "docs" / "hacking.md").read_text("utf-8"))
    folders = {f"{path.parent.relative_to(PACKAGE).as_posix()}/" for path in PACKAGE.rglob("__init__.py")} - {"./"}
    assert folders - named == set()


def test_a_path_is_found_in_a_text() -> None:
    text = "`a/b.py`, `c/` and `/healthz`, `make run`, `x.y`.\n```\n`d/e.py`\n```\n"
    assert paths_named(text) == {"a/b.py", "c/"}


def test_each_word_of_the_glossary_is_defined_once() -> None:
    rows = re.findall(
        r"^\| \*\*(.+?)\*\* \| (.+) \|$", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE
    )
    words = [word for term, meaning in rows for word in [*term.split(", "), *re.findall(r"\*\*(.+?)\*\*", meaning)]]
    assert len(words) > 100
    assert [word for word, count in Counter(words).items() if count > 1] == []


# Everywhere


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    here = re.compile(r"/(?:home|Users)/\w|/root/\w|/work/\w")
    folders = [ROOT / name for name in ("src", "tests", "tools", "docs", "deploy", ".ci", ".github")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    found = []
    for path in files:
        if "__pycache__" in path.parts or path.suffix in (".png", ".ico", ".woff2"):
            continue
        text = path.read_text("utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in here.finditer(text)]
    assert found == []
