"""Rules that let the tables of the ledger be distributed by `shard` later, statement by statement (docs/adr/0036).

A server that holds one part of each table must be able to do the whole of a statement: so each table that a statement
names is restricted to one shard, in the very SELECT that names it. Each rule is a function from a statement to what
breaks it, and has bad examples below.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

PACKAGE: Final = Path(__file__).parents[2] / "src" / "wallet"
SCHEMA: Final = (PACKAGE / "storage" / "schema" / "schema.sql").read_text("utf-8")

OF_ALL_SHARDS: Final[Mapping[str, str]] = {
    "chain/chain.sql:find_checkpoints": "answers the end of each shard's chain",
    "schema/sequences.sql:look_at_batches": "a sequence numbers the batches of all shards",
    "schema/sequences.sql:look_at_declines": "a sequence numbers the declines of all shards",
    "verify/ledger.sql:next_shard": "finds out which shards there are",
    "verify/ledger.sql:check_sums": "an asset's wallets of all shards add up to zero",
}
"""Statements that are of no one shard, and why."""
NOT_STATEMENTS: Final = {"schema/grants.sql:give_grants"}

VOLATILE: Final = ("ledger_now", "clock_timestamp", "timeofday", "random", "gen_random_uuid", "nextval", "setval")


def tables_of(schema: str) -> Mapping[str, str]:
    """By name, the definition of each table that has a shard."""
    tables = re.findall(r"^CREATE TABLE (\w+) \((.*?)^\)", schema, re.MULTILINE | re.DOTALL)
    return {name: definition for name, definition in tables if re.search(r"^ +shard ", definition, re.MULTILINE)}


TABLES: Final = frozenset(tables_of(SCHEMA))


class Query(NamedTuple):
    """One SELECT, INSERT, UPDATE or DELETE. own: without what is in parentheses. whole: with the queries in it."""

    own: str
    whole: str


def statements_of(text: str) -> Iterator[tuple[str, str]]:
    """Name and body of each statement, without comments."""
    for part in re.split(r"^-- name:", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        yield name.strip(), re.sub(r"--.*", "", body)


def queries_of(statement: str) -> list[Query]:
    """The queries of a statement, inner ones first; each branch of a UNION is one."""
    found: list[Query] = []
    text = " ".join(re.sub(r"'[^']*'", "''", statement).split())

    def read(start: int) -> tuple[str, str, int]:
        own, whole, at = "", "", start
        while at < len(text) and text[at] != ")":
            if text[at] != "(":
                own, whole, at = own + text[at], whole + text[at], at + 1
                continue
            inner, inner_whole, at = read(at + 1)
            is_query = re.match(r" *(SELECT|WITH|INSERT|UPDATE|DELETE)\b", inner)
            if is_query:
                add(inner, inner_whole)
            # The columns of an INSERT are its own.
            is_columns = re.search(r"\bINSERT INTO \w+( AS \w+)? *$", own)
            own, whole = own + (f"({inner})" if is_columns else "()"), f"{whole}({inner_whole})"
        return own, whole, at + 1

    def add(own: str, whole: str) -> None:
        branches = re.split(r"\b(?:UNION(?: ALL)?|INTERSECT|EXCEPT)\b", own)
        found.extend(Query(branch.strip(), whole) for branch in branches)

    own, whole, _ = read(0)
    add(own, whole)
    return found


def named_in(query: Query) -> Iterator[tuple[str, str]]:
    """Table and alias of each table of the ledger that a query reads, updates or deletes from."""
    end = r"WHERE|GROUP BY|ORDER BY|LIMIT|OFFSET|RETURNING|FOR (?:NO KEY )?UPDATE|ON CONFLICT|SET|HAVING"
    for clause in re.findall(rf"\b(?:FROM|USING|UPDATE(?! OF\b| SET\b))\s+(.*?)(?=\b(?:{end})\b|$)", query.own):
        for table, alias in re.findall(r"(?:^|,|\bJOIN\b)\s*(?:LATERAL\s+)?(\w+)(?:\s+AS\s+(\w+))?", clause):
            if table in TABLES:
                yield table, alias or table


def every_table_is_of_one_shard(statement: str) -> Iterator[str]:
    """In each query each table's shard is compared with a parameter, or with that of another table there."""
    for query in queries_of(statement):
        for table, columns in re.findall(r"INSERT INTO (\w+)(?: AS \w+)? *\(([^)]*)\)", query.own):
            if table in TABLES and "shard" not in re.findall(r"\w+", columns):
                yield f"inserts into {table} without a shard"
        named = list(named_in(query))
        for table, alias in named:
            qualified = rf"\b{alias}\.shard = (\$\d|\w+\.shard\b)|\w+\.shard = {alias}\.shard\b"
            alone = r"(?<![.\w])shard = \$\d" if len(named) == 1 else r"(?!)"
            if not re.search(f"{qualified}|{alone}", query.own):
                yield f"{table} is named without its shard: {query.own}"
        if named and not re.search(r"\bshard = \$\d", query.own):
            yield f"no shard is given: {query.own}"


def no_shard_is_cast(statement: str) -> Iterator[str]:
    """A cast hides the shard from whoever routes the statement, and from every index."""
    yield from re.findall(r"\bshard::\w+|CAST\((?:\w+\.)?shard\b", statement)


def no_row_is_found_by_its_place(statement: str) -> Iterator[str]:
    """A ctid is a place in one part of a table, and says nothing of which part."""
    yield from re.findall(r"\bctid\b", statement)


def what_changes_rows_is_given_the_time(statement: str) -> Iterator[str]:
    """An UPDATE or DELETE that calls a volatile function may do something else on each server that executes it."""
    for query in queries_of(statement):
        changed = re.findall(r"(?:^|\) )(?:UPDATE|DELETE FROM) (\w+)", query.own)
        if TABLES.isdisjoint(changed):
            continue
        yield from (f"{name}() in {query.own}" for name in VOLATILE if re.search(rf"\b{name}\(", query.whole))


def conflicts_are_told_by_columns(statement: str) -> Iterator[str]:
    """The parts of a distributed table have constraints of other names."""
    yield from re.findall(r"ON CONFLICT ON CONSTRAINT \w+", statement)


Rule = Callable[[str], Iterator[str]]

RULES: Final[Mapping[Rule, tuple[str, ...]]] = {
    every_table_is_of_one_shard: (
        "SELECT id FROM wallets WHERE id = $1",
        "SELECT e.leg FROM (SELECT shard, leg FROM ledger_entries WHERE leg = $2 OFFSET 0) AS e WHERE e.shard = $1",
        "SELECT w.id FROM wallets AS w JOIN holds AS h ON h.wallet_id = w.id WHERE w.shard = $1",
        "SELECT id, (SELECT max(b.seq) FROM batches AS b WHERE b.shard = w.shard) FROM wallets AS w WHERE w.shard = $1",
        "WITH it AS (SELECT id FROM lots WHERE shard = $1 UNION ALL SELECT id FROM holds) SELECT id FROM it",
        "UPDATE wallets SET held = w.held FROM unnest($2::uuid[], $3::bigint[]) AS w (id, held) WHERE id = w.id",
        "DELETE FROM declines USING oldest WHERE declines.id = oldest.id",
        "INSERT INTO users (id, name) VALUES ($1, $2)",
    ),
    no_shard_is_cast: (
        "SELECT id FROM wallets WHERE shard::integer = $1",
        "SELECT id FROM wallets AS w WHERE CAST(w.shard AS integer) = $1",
    ),
    no_row_is_found_by_its_place: (
        "UPDATE wallets SET held = 0 FROM found WHERE shard = $1 AND wallets.ctid = found.place",
    ),
    what_changes_rows_is_given_the_time: (
        "UPDATE programmes SET ends_at = ledger_now() WHERE shard = $1 AND id = $2",
        "WITH clock AS (SELECT ledger_now() AS at) UPDATE holds SET expires_at = clock.at FROM clock WHERE shard = $1",
        "WITH moved AS (UPDATE watermarks SET moved_at = clock_timestamp() WHERE shard = $1) SELECT 1",
        "DELETE FROM declines WHERE shard = $1 AND created_at < (SELECT clock_timestamp() - interval '1 day')",
    ),
    conflicts_are_told_by_columns: (
        "INSERT INTO users (shard, id) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT users_pk DO NOTHING",
    ),
}
"""Each rule, and what it must catch."""

GOOD: Final = (
    "SELECT w.id FROM wallets AS w JOIN holds AS h ON h.shard = w.shard AND h.wallet_id = w.id WHERE w.shard = $1",
    "SELECT extract(EPOCH FROM made_at) FROM unnest($2::uuid[]) AS asked (id)"
    " CROSS JOIN LATERAL (SELECT made_at FROM lots WHERE shard = $1 AND id = asked.id OFFSET 0) AS lot",
    "SELECT seq, transactions, holds FROM batches WHERE shard = $1 ORDER BY seq FOR NO KEY UPDATE",
    "INSERT INTO users (shard, id) SELECT $1, id FROM unnest($2::uuid[]) AS id"
    " ON CONFLICT (shard, id) DO UPDATE SET name = 'a'",
    "SELECT clock_timestamp(), nextval('batch_seq')",
    "WITH next AS (SELECT nextval('batch_seq') AS seq),"
    " moved AS (UPDATE wallets SET held = 0 WHERE shard = $1 RETURNING 1) SELECT seq FROM next",
    "UPDATE api_keys SET revoked_at = clock_timestamp() WHERE id = $1",
)


def _statements() -> Iterator[tuple[str, str]]:
    for path in sorted((PACKAGE / "storage").rglob("*.sql")):
        file_name = str(path.relative_to(PACKAGE / "storage"))
        if "migrations" in path.parts or file_name == "schema/schema.sql":
            continue
        for name, statement in statements_of(path.read_text("utf-8")):
            if f"{file_name}:{name}" not in NOT_STATEMENTS:
                yield f"{file_name}:{name}", statement


STATEMENTS: Final = dict(_statements())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_statement_keeps_the_rule(rule: Rule) -> None:
    excused = OF_ALL_SHARDS if rule is every_table_is_of_one_shard else {}
    broken = [
        f"{name}: {fault}" for name, statement in STATEMENTS.items() if name not in excused for fault in rule(statement)
    ]
    assert not broken, f"{rule.__doc__}\n" + "\n".join(broken)


@pytest.mark.parametrize(("rule", "bad"), [(rule, each) for rule, examples in RULES.items() for each in examples])
def test_the_rule_catches_what_breaks_it(rule: Rule, bad: str) -> None:
    assert list(rule(bad))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_lets_pass_what_keeps_it(rule: Rule) -> None:
    assert [fault for good in GOOD for fault in rule(good)] == []


@pytest.mark.parametrize("name", OF_ALL_SHARDS)
def test_a_statement_of_all_shards_is_there_and_is_one(name: str) -> None:
    assert list(every_table_is_of_one_shard(STATEMENTS[name]))


# Keys, and names


def keys_without_the_shard(schema: str) -> list[str]:
    """A distributed table can keep a key only within a part, so each key begins with what decides the part."""
    keys = [
        (name, *key)
        for name, definition in tables_of(schema).items()
        for key in re.findall(r"CONSTRAINT (\w+) (?:PRIMARY KEY|UNIQUE) \((\w+)", definition)
    ]
    keys += [
        (table, index, column)
        for index, table, column in re.findall(r"CREATE UNIQUE INDEX (\w+) ON (\w+) \((\w+)", schema)
        if table in tables_of(schema)
    ]
    return [key for _, key, column in keys if column != "shard"]


def test_keys_of_the_ledgers_tables_begin_with_the_shard() -> None:
    assert keys_without_the_shard(SCHEMA) == [], keys_without_the_shard.__doc__


def test_a_key_that_begins_otherwise_is_caught() -> None:
    table = "CREATE TABLE declines (\n    shard smallint NOT NULL,\n    CONSTRAINT declines_pk PRIMARY KEY (id)\n);\n"
    assert keys_without_the_shard(table) == ["declines_pk"]
    table = table.replace("(id)", "(shard, id)")
    assert keys_without_the_shard(table) == []
    assert keys_without_the_shard(table + "CREATE UNIQUE INDEX declines_uq ON declines (reference_id);") == [
        "declines_uq"
    ]


def test_the_name_of_a_constraint_is_read_where_errors_are_translated_and_nowhere_else() -> None:
    # There the SQLSTATE decides first (tests/storage/connections/test_driver_errors.py).
    readers = [
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if "constraint_name" in path.read_text("utf-8")
    ]
    assert readers == ["storage/connections/database.py"]
