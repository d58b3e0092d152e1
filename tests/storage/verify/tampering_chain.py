"""Ways to tamper with history that the audit chain covers: every column of every table, and whole rows.

The intruder owns the database: triggers, keys and checks are gone before they begin.
"""

from typing import Final, NamedTuple

FORGED: Final = "01234567-89ab-cdef-0123-456789abcdef"
FAR: Final = 1_000_000


class ChainTampering(NamedTuple):
    """A change of one row of a table, and the `where` of its finding.

    picked: a condition on the row. sql: {row} stands for its place, {next} for that of the one after it. where: a
    format of the row's columns.
    """

    name: str
    table: str
    sql: str
    where: str
    picked: str = "true"
    check: str = ""


# How a changed row of a table is named.
NAMED: Final = {
    "transactions": "transactions (shard 0, id {id})",
    "ledger_entries": "transactions (shard 0, id {transaction_id})",
    "hold_steps": "transactions (shard 0, id {transaction_id})",
    "lots": "transactions (shard 0, id {opened_by})",
    "lot_moves": "transactions (shard 0, id {transaction_id})",
    "wallet_events": "wallet_events (shard 0, id {id}, wallet_id {wallet_id})",
    "batches": "batches (shard 0, seq {seq})",
    "seals": "seals (shard 0, height {height})",
}
_GONE: Final = "transactions or wallet_events (shard 0, seq {seq})"
# A row whose key is changed is named at the place where it is missing, or by its present key.
NAMED_OTHERWISE: Final = {
    ("transactions", "id"): f"transactions (shard 0, id {FORGED})",
    ("transactions", "seq"): _GONE,
    ("transactions", "shard"): _GONE,
    ("wallet_events", "id"): f"wallet_events (shard 0, id {FORGED}, wallet_id {{wallet_id}})",
    ("wallet_events", "wallet_id"): f"wallet_events (shard 0, id {{id}}, wallet_id {FORGED})",
    ("wallet_events", "seq"): _GONE,
    ("wallet_events", "shard"): _GONE,
}
# Columns that are no part of history: what a lot has become is what its moves say, which `wallet verify` proves.
DERIVED: Final = {("lots", "remaining"), ("lots", "held"), ("lots", "expiries"), ("lots", "wallet_id")}

_OTHER_VALUE: Final = {
    "bigint": "{column} + 1",
    "integer": "{column} + 1",
    "smallint": "{column} + 1",
    "text": "{column} || ' '",
    "bytea": "CASE {column} WHEN '' THEN '\\x00' ELSE set_byte({column}, 0, get_byte({column}, 0) # 1) END",
    "timestamp with time zone": "{column} + interval '1 microsecond'",
    "uuid": f"'{FORGED}'",
}
_ANY_VALUE: Final = {
    "bigint": "0",
    "text": "''",
    "timestamp with time zone": "'2026-01-01Z'",
    "uuid": f"'{FORGED}'",
}
_FAR_AWAY: Final = {("batches", "seq"), ("seals", "seq"), ("transactions", "seq"), ("wallet_events", "seq")}


def tamperings_of_column(table: str, column: str, type_: str, *, is_nullable: bool) -> list[ChainTampering]:
    """A value becomes another; where there may be none, it goes, and one comes from nowhere."""
    where = NAMED_OTHERWISE.get((table, column), NAMED[table])
    value = str(FAR) if (table, column) in _FAR_AWAY else _OTHER_VALUE[type_].format(column=column)
    if (table, column) == ("lots", "category"):
        value = "CASE category WHEN 'paid' THEN 'promotional' ELSE 'paid' END"
    tamperings = [_set(f"{table}.{column} changed", table, column, value, where, f"{column} IS NOT NULL")]
    if is_nullable:
        tamperings.append(_set(f"{table}.{column} taken away", table, column, "NULL", where, f"{column} IS NOT NULL"))
        if table != "batches":  # theirs are never null here
            value = _ANY_VALUE[type_]
            tamperings.append(_set(f"{table}.{column} made up", table, column, value, where, f"{column} IS NULL"))
    return tamperings


def _set(name: str, table: str, column: str, value: str, where: str, picked: str) -> ChainTampering:
    return ChainTampering(name, table, f"UPDATE {table} SET {column} = {value} WHERE ctid = {{row}}", where, picked)


def _deleted(table: str, where: str, check: str) -> ChainTampering:
    return ChainTampering(
        f"a row of {table} deleted", table, f"DELETE FROM {table} WHERE ctid = {{row}}", where, "true", check
    )


def _inserted(table: str, changes: str, where: str, check: str, picked: str = "true") -> ChainTampering:
    """A copy of a row, with some of its columns changed."""
    sql = f"""
        CREATE TEMPORARY TABLE forged ON COMMIT DROP AS SELECT * FROM {table} WHERE ctid = {{row}};
        UPDATE forged SET {changes};
        INSERT INTO {table} SELECT * FROM forged
    """
    return ChainTampering(f"a row of {table} inserted", table, sql, where, picked, check)


def _swapped(table: str, columns: str, where: str, check: str, picked: str = "true") -> ChainTampering:
    """The columns of two rows besides their keys, exchanged: the row picked, and the next one."""
    ours = ", ".join(f"{column.strip()} = other.{column.strip()}" for column in columns.split(","))
    sql = f"""
        CREATE TEMPORARY TABLE pair ON COMMIT DROP AS
        SELECT ctid AS place, * FROM {table} WHERE ctid = {{row}} OR ctid = {{next}};
        UPDATE {table} AS changed SET {ours}
          FROM pair AS own, pair AS other
         WHERE changed.ctid = own.place AND other.place <> own.place
    """
    return ChainTampering(f"two rows of {table} exchanged", table, sql, where, picked, check)


_HASHED, _LINK = "leaf_is_what_was_hashed", "link_fits_its_batch"
_OF_TRANSACTION: Final = "WHERE transaction_id = (SELECT id FROM transactions WHERE ctid = {row})"

ROWS: Final = [
    _deleted("transactions", _GONE, _HASHED),
    _deleted("wallet_events", _GONE, _HASHED),
    *(_deleted(table, NAMED[table], _HASHED) for table in ("ledger_entries", "hold_steps", "lots", "lot_moves")),
    _deleted("batches", NAMED["batches"], "link_has_its_batch"),
    _deleted("seals", NAMED["seals"], "heights_have_no_gap"),
    _inserted("transactions", f"id = '{FORGED}', reference_id = 'x'", f"transactions (shard 0, id {FORGED})", _HASHED),
    _inserted(
        "wallet_events", f"id = '{FORGED}', position = {FAR}", f"wallet_events (shard 0, id {FORGED}", _HASHED
    ),
    _inserted("ledger_entries", "leg = 99", NAMED["ledger_entries"], _HASHED),
    _inserted("hold_steps", f"position = {FAR}", NAMED["hold_steps"], _HASHED),
    _inserted("lots", f"id = '{FORGED}'", NAMED["lots"], _HASHED),
    _inserted("lot_moves", "ordinal = 99", NAMED["lot_moves"], _HASHED),
    # Between two that are sealed: seqs have a gap where a batch was rolled back.
    _inserted(
        "batches", f"seq = -1, id = '{FORGED}'", "batches (shard 0, seq -1)", "batch_has_its_link"
    ),
    _inserted("seals", f"height = {FAR}, seq = {FAR}", f"batches (shard 0, seq {FAR})", "link_has_its_batch"),
    _swapped(
        "transactions", "type, fingerprint, metadata, details", NAMED["transactions"], _HASHED, "metadata IS NULL"
    ),
    _swapped("wallet_events", "kind, changes, position", NAMED["wallet_events"], _HASHED),
    _swapped(
        "ledger_entries", "amount, balance_after, position, wallet_id, direction", NAMED["ledger_entries"], _HASHED
    ),
    _swapped("hold_steps", "held_change, held_after, kind, hold_id", NAMED["hold_steps"], _HASHED),
    _swapped("lots", "amount, expires_at, priority, opened_at", NAMED["lots"], _HASHED),
    _swapped("lot_moves", "change, held_change, lot_id, wallet_id", NAMED["lot_moves"], _HASHED),
    _swapped("batches", "id, created_at", NAMED["batches"], _LINK),
    _swapped("seals", "hash", NAMED["seals"], _LINK),
]  # fmt: skip

WHOLES: Final = [
    ChainTampering(
        "a transaction removed with all that it wrote", "transactions",
        f"""
        DELETE FROM ledger_entries {_OF_TRANSACTION};
        DELETE FROM hold_steps {_OF_TRANSACTION};
        DELETE FROM lot_moves {_OF_TRANSACTION};
        UPDATE batches SET transactions = transactions - 1
         WHERE seq = (SELECT seq FROM transactions WHERE ctid = {{row}});
        DELETE FROM transactions WHERE ctid = {{row}}
        """,
        _GONE, "type = 'topup'", _HASHED,
    ),
    ChainTampering(
        "an entry given to another wallet", "ledger_entries",
        """
        UPDATE ledger_entries SET wallet_id = (SELECT id FROM wallets WHERE id <> wallet_id AND locked LIMIT 1)
         WHERE ctid = {row}
        """,
        NAMED["ledger_entries"], "balance_after IS NOT NULL", _HASHED,
    ),
    ChainTampering(
        "the code of a claim exchanged wherever it is told", "transactions",
        """
        CREATE TEMPORARY TABLE old ON COMMIT DROP AS
        SELECT c.id, encode(c.code_hash, 'hex') AS hash FROM claims AS c JOIN transactions AS t ON t.id = c.id
         WHERE t.ctid = {row};
        ALTER TABLE claims DISABLE TRIGGER ALL;
        UPDATE claims SET code_hash = sha256('a code of the intruder') FROM old WHERE claims.id = old.id;
        UPDATE transactions
           SET details = replace(details, old.hash, encode(sha256('a code of the intruder'), 'hex'))
          FROM old WHERE hold_id = old.id OR transactions.id = old.id
        """,
        NAMED["transactions"], "type = 'claim_place'", _HASHED,
    ),
    ChainTampering(
        "a batch removed with all that it wrote", "batches",
        """
        DELETE FROM ledger_entries USING transactions AS t
         WHERE transaction_id = t.id AND t.seq = (SELECT seq FROM batches WHERE ctid = {row});
        DELETE FROM transactions WHERE seq = (SELECT seq FROM batches WHERE ctid = {row});
        DELETE FROM wallet_events WHERE seq = (SELECT seq FROM batches WHERE ctid = {row});
        DELETE FROM batches WHERE ctid = {row}
        """,
        NAMED["batches"], "true", "link_has_its_batch",
    ),
    ChainTampering(
        "a batch removed with its link", "seals",
        """
        DELETE FROM transactions WHERE seq = (SELECT seq FROM seals WHERE ctid = {row});
        DELETE FROM wallet_events WHERE seq = (SELECT seq FROM seals WHERE ctid = {row});
        DELETE FROM batches WHERE seq = (SELECT seq FROM seals WHERE ctid = {row});
        DELETE FROM seals WHERE ctid = {row}
        """,
        NAMED["seals"], "true", "heights_have_no_gap",
    ),
    ChainTampering(
        "a batch removed, and the links after it moved up", "seals",
        """
        DELETE FROM transactions WHERE seq = (SELECT seq FROM seals WHERE ctid = {row});
        DELETE FROM wallet_events WHERE seq = (SELECT seq FROM seals WHERE ctid = {row});
        DELETE FROM batches WHERE seq = (SELECT seq FROM seals WHERE ctid = {row});
        UPDATE seals SET height = height - 1 WHERE height > (SELECT height FROM seals WHERE ctid = {row});
        DELETE FROM seals WHERE ctid = {row}
        """,
        NAMED["seals"], "true", _LINK,
    ),
    ChainTampering(
        "two batches in the other order", "batches",
        """
        CREATE TEMPORARY TABLE pair ON COMMIT DROP AS
        SELECT a.seq AS first, b.seq AS second FROM batches AS a, batches AS b
         WHERE a.ctid = {row} AND b.ctid = {next};
        UPDATE transactions SET seq = first + second - seq FROM pair WHERE seq IN (first, second);
        UPDATE wallet_events SET seq = first + second - seq FROM pair WHERE seq IN (first, second);
        UPDATE batches SET seq = first + second - seq FROM pair WHERE seq IN (first, second)
        """,
        NAMED["batches"], "true", _LINK,
    ),
    ChainTampering(
        "a row changed, and its batch's root and marks with it", "batches",
        """
        UPDATE transactions SET metadata = '{{"a":"b"}}'
         WHERE id = (SELECT id FROM transactions
                      WHERE seq = (SELECT seq FROM batches WHERE ctid = {row}) LIMIT 1);
        UPDATE batches SET root = NULL, marks = NULL WHERE ctid = {row}
        """,
        NAMED["batches"], "true", _LINK,
    ),
    ChainTampering(
        "a root and marks moved to another batch", "batches",
        """
        CREATE TEMPORARY TABLE other ON COMMIT DROP AS SELECT root, marks FROM batches WHERE ctid = {next};
        UPDATE batches SET root = other.root, marks = other.marks FROM other WHERE batches.ctid = {row}
        """,
        NAMED["batches"], "true", _LINK,
    ),
]  # fmt: skip
