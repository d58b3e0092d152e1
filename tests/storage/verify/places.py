"""How rows of handmade.handmade_ledger are named: in SQL, and in what verification finds."""

from tests.storage.verify.handmade import id_of


def quoted(name: str) -> str:
    """The id of what has this name, for SQL."""
    return f"'{id_of(name)}'"


def at_wallet(name: str) -> str:
    return f"wallets (shard 0, id {id_of(name)})"


def at_hold(name: str) -> str:
    return f"holds (shard 0, id {id_of(name)})"


def at_claim(name: str) -> str:
    return f"claims (shard 0, id {id_of(name)})"


def at_lot(name: str) -> str:
    return f"lots (shard 0, id {id_of(name)})"


def at_transaction(name: str) -> str:
    return f"transactions (shard 0, id {id_of(name)})"


def at_move(name: str, ordinal: int) -> str:
    return f"lot_moves (shard 0, transaction_id {id_of(name)}, ordinal {ordinal})"


def at_line(table: str, wallet: str, position: int) -> str:
    return f"{table} (shard 0, wallet_id {id_of(wallet)}, position {position})"


def at_attachment(programme: str, wallet: str) -> str:
    return f"programme_wallets (shard 0, programme_id {id_of(programme)}, wallet_id {id_of(wallet)})"


ALICE, BOB, CAROL, DAVE, ERIN, GINA = map(quoted, ("alice", "bob", "carol", "dave", "erin", "gina"))
