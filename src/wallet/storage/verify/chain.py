"""`wallet verify --chain`: makes every root again from its rows, and follows the chain of links over them to its end.

It goes along seqs, some thousands of transactions at a time, so memory is bounded whatever the size of the ledger. The
checks of storage.verify.ledger find rows without a transaction or batch, on the same snapshot.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from wallet.ledger.audit import MARK_BYTES, NO_LINK, Record, Salts, leaf_of, link_hash, marks_of, merkle_root
from wallet.storage.chain.leaves import UNREADABLE, read_records, read_salts
from wallet.storage.chain.seal import Checkpoint, link_of
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.verify.ledger import (
    LAWS,
    ROWS_MAX,
    Finding,
    VerifyProgress,
    VerifyReport,
    forget_failure,
    one_snapshot,
    verify_seen,
)

STAGE: Final = "chain"
BATCHES_MAX: Final = 2_000
"""The batches that are looked up at once."""
TRANSACTIONS_MAX: Final = 10_000
"""The transactions that are read at once; more only if one batch has more."""
LAW: Final = max(LAWS)

_FIRST_SEQ, _LAST_SEQ = -(2**63), 2**63 - 1
_SQL: Final = {**load_statements("verify/ledger.sql"), **load_statements("chain/chain.sql")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainReport:
    """The result of a check of the chain. leaves: transactions and wallet events. sealed: batches with a link."""

    batches: int
    sealed: int
    leaves: int
    findings: tuple[Finding, ...]


async def verify_with_chain(
    dsn: str,
    *,
    against: Sequence[Checkpoint] = (),
    on_progress: Callable[[VerifyProgress], None],
    rows_max: int = ROWS_MAX,
) -> tuple[VerifyReport, ChainReport]:
    """Check the whole ledger as `verify` does, then the chain, both as they are when this begins. The first report has
    the findings of both. Raises as `verify` does.
    """
    async with one_snapshot(dsn) as connection:
        report = await verify_seen(connection, on_progress=on_progress, rows_max=rows_max)
        chain = await verify_chain_seen(connection, against=against, on_progress=on_progress)
    return replace(report, findings=report.findings + chain.findings), chain


async def verify_chain_seen(
    connection: asyncpg.Connection,
    *,
    against: Sequence[Checkpoint] = (),
    on_progress: Callable[[VerifyProgress], None],
    transactions_max: int = TRANSACTIONS_MAX,
) -> ChainReport:
    """Check the chain as a connection sees it, whose settings are those of `verify_seen`."""
    return await _ChainVerification(connection, against, on_progress, transactions_max).run()


class _Followed(NamedTuple):
    """How far the links of a shard were followed. unsealed: batches since, and the seq of the first of them.

    wrong: the hash that a link should have had, if it did not fit. The next link tells whether somebody changed that
    link or its batch.
    """

    height: int = 0
    seq: int = 0
    hash: bytes = NO_LINK
    unsealed: int = 0
    first_unsealed: int = 0
    wrong: bytes | None = None


class _ChainVerification:
    """One run on one snapshot, and its findings so far."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        against: Sequence[Checkpoint],
        on_progress: Callable[[VerifyProgress], None],
        transactions_max: int,
    ) -> None:
        self._connection = connection
        self._on_progress = on_progress
        self._transactions_max = transactions_max
        self._against = _by_height(against)
        self._findings: dict[str, Finding] = {}
        self._salts: Salts
        self._place = _Followed()
        self._batches = self._sealed = self._leaves = self._leaves_expected = 0

    async def run(self) -> ChainReport:
        self._salts = await read_salts(self._connection)
        self._leaves_expected = await self._connection.fetchval(_SQL["estimate_transactions"])
        await self._connection.execute(_SQL["find_by_place"])
        await self._connection.execute(_SQL["savepoint"])
        self._count(0)
        shard = await self._connection.fetchval(_SQL["next_shard"], None)
        while shard is not None:
            await self._check_shard(Shard(self._connection, shard))
            shard = await self._connection.fetchval(_SQL["next_shard"], shard)
        for (shard, height), checkpoints in sorted(self._against.items()):
            self._add(
                "history_fits_its_checkpoint",
                f"seals (shard {shard}, height {height})",
                f"hash {checkpoints[0].hash}",
                "no such link",
            )
        return ChainReport(
            batches=self._batches,
            sealed=self._sealed,
            leaves=self._leaves,
            findings=tuple(self._findings.values()),
        )

    async def _check_shard(self, shard: Shard) -> None:
        self._place = _Followed()
        first = _FIRST_SEQ
        is_last = False
        while not is_last:
            page = await shard.fetch(_SQL["find_batches"], first, BATCHES_MAX)
            is_last = len(page) < BATCHES_MAX
            groups = self._grouped(page)
            for number, group in enumerate(groups, 1):
                # The last range has no end, so that it includes everything after the last batch.
                is_end = is_last and number == len(groups)
                last = _LAST_SEQ if is_end else group[-1]["seq"]
                await self._check_range(shard, first, last, group)
                first = last + 1
        self._resolve_doubt(shard.number)

    def _grouped(self, page: Sequence[Any]) -> Sequence[Sequence[Any]]:
        groups: list[list[Any]] = [[]]
        transactions = 0
        for batch in page:
            transactions += batch["transactions"]
            if transactions > self._transactions_max and groups[-1]:
                groups.append([])
                transactions = batch["transactions"]
            groups[-1].append(batch)
        return groups

    async def _check_range(self, shard: Shard, first: int, last: int, batches: Sequence[Any]) -> None:
        """Check the records of these batches, and their links. If a row cannot be read, halve the range to find it."""
        try:
            records = await read_records(shard, first_seq=first, last_seq=last)
            leaves = {seq: [leaf_of(record, self._salts) for record in each] for seq, each in records.items()}
        except UNREADABLE as error:
            await forget_failure(self._connection)
            if len(batches) > 1:
                middle = len(batches) // 2
                between = batches[middle - 1]["seq"]
                await self._check_range(shard, first, between, batches[:middle])
                await self._check_range(shard, between + 1, last, batches[middle:])
                return
            where = f"seq {batches[0]['seq']}" if batches else "no batch"
            self._add(
                "leaves_can_be_read", f"batches (shard {shard.number}, {where})", "values of their types", str(error)
            )
            records, leaves, roots = {}, {}, {batch["seq"]: batch["root"] for batch in batches}
        else:
            roots = {
                seq: self._check_leaves(shard.number, batch, records.get(seq, ()), leaves.get(seq, ()))
                for seq, batch in ((batch["seq"], batch) for batch in batches)
            }
        for seq in sorted(records.keys() - roots.keys()):
            self._add("leaf_is_in_a_batch", _named(shard.number, records[seq][0]), f"a batch of seq {seq}", "none")
        seals = await shard.fetch(_SQL["find_seals"], first, last)
        self._follow(shard.number, batches, seals, roots)
        self._batches += len(batches)
        self._count(sum(map(len, leaves.values())))

    def _check_leaves(self, shard: int, batch: Any, records: Sequence[Record], leaves: Sequence[bytes]) -> bytes:
        """Compare the root of a batch's rows with the root that was written with them; answer the one that links are
        checked by.
        """
        root, noted = merkle_root(leaves), batch["root"]
        if noted is None:
            return root
        marks, marks_noted = marks_of(leaves), batch["marks"] or b""
        where = f"batches (shard {shard}, seq {batch['seq']})"
        if root == noted:
            if marks != marks_noted:
                self._add("marks_are_those_of_the_leaves", where, marks.hex(), marks_noted.hex() or "none")
        elif marks == marks_noted:
            self._add("root_is_that_of_the_leaves", where, f"root {root.hex()}", f"root {noted.hex()}")
        else:
            self._add("leaf_is_what_was_hashed", *_what_differs(shard, batch["seq"], records, marks, marks_noted))
        return bytes(noted)

    def _follow(
        self, shard: int, batches: Sequence[Any], seals: Sequence[Any], roots: Mapping[int, bytes | None]
    ) -> None:
        """Follow the links of a range of seqs."""
        batch_by_seq = {batch["seq"]: batch for batch in batches}
        seal_by_seq = {seal["seq"]: seal for seal in seals}
        for seq in sorted(batch_by_seq.keys() | seal_by_seq.keys()):
            batch, seal = batch_by_seq.get(seq), seal_by_seq.get(seq)
            if seal is None:
                place = self._place
                self._place = place._replace(unsealed=place.unsealed + 1, first_unsealed=place.first_unsealed or seq)
                continue
            self._sealed += batch is not None
            self._check_link(shard, seal, batch, roots.get(seq))
            self._check_checkpoint(shard, seal, batch)

    def _check_link(self, shard: int, seal: Any, batch: Any | None, root: bytes | None) -> None:
        place, height = self._place, seal["height"]
        missing = height - place.height - 1
        if missing:
            where = f"seals (shard {shard}, height {place.height + 1})"
            self._add("heights_have_no_gap", where, "a link", f"none: the next, of seq {seal['seq']}, has {height}")
        if place.unsealed > max(missing, 0):
            where = f"batches (shard {shard}, seq {place.first_unsealed})"
            self._add("batch_has_its_link", where, f"a link before that of seq {seal['seq']}", "none")
        if batch is None:
            where = f"batches (shard {shard}, seq {seal['seq']})"
            self._add("link_has_its_batch", where, f"the batch of height {height}", "none")
        wrong = None
        if not missing and batch is not None and root is not None:
            link = link_of(batch, shard, height, root)
            fits = link_hash(place.hash, link) == seal["hash"]
            fits_the_other = place.wrong is not None and link_hash(place.wrong, link) == seal["hash"]
            self._resolve_doubt(shard, fits, fits_the_other)
            if not (fits or fits_the_other):
                wrong = link_hash(place.hash, link)
        else:
            self._resolve_doubt(shard)
        self._place = _Followed(height, seal["seq"], seal["hash"], wrong=wrong)

    def _resolve_doubt(self, shard: int, next_fits: bool = False, next_fits_the_other: bool = False) -> None:
        """If the last link did not fit, report what was changed. It was the batch if the next link was made with the
        link as it is, and the link if the next one was made with the right hash.
        """
        place = self._place
        if place.wrong is None:
            return
        batch, link = f"batches (shard {shard}, seq {place.seq})", f"seals (shard {shard}, height {place.height})"
        where = batch if next_fits else link if next_fits_the_other else f"{batch} or {link}"
        self._add("link_fits_its_batch", where, f"hash {place.wrong.hex()}", f"hash {place.hash.hex()}")

    def _check_checkpoint(self, shard: int, seal: Any, batch: Any | None) -> None:
        for each in self._against.pop((shard, seal["height"]), ()):
            kept = (each.hash, each.seq, each.batch_id)
            found = (seal["hash"].hex(), seal["seq"], None if batch is None else batch["id"])
            if kept != found:
                where = f"seals (shard {shard}, height {seal['height']})"
                self._add("history_fits_its_checkpoint", where, _told(*kept), _told(*found))

    def _add(self, check: str, where: str, expected: str, found: str) -> None:
        self._findings.setdefault(check, Finding(law=LAW, check=check, where=where, expected=expected, found=found))

    def _count(self, leaves: int) -> None:
        self._leaves += leaves
        expected = max(self._leaves, self._leaves_expected) if self._leaves_expected else 0
        self._on_progress(VerifyProgress(stage=STAGE, rows_done=self._leaves, rows_expected=expected))


def _by_height(checkpoints: Iterable[Checkpoint]) -> dict[tuple[int, int], list[Checkpoint]]:
    by_height: dict[tuple[int, int], list[Checkpoint]] = {}
    for each in checkpoints:
        by_height.setdefault((each.shard, each.height), []).append(each)
    return by_height


def _told(hash_: str, seq: int, batch_id: UUID | None) -> str:
    return f"hash {hash_} of seq {seq}, batch {batch_id}"


def _named(shard: int, record: Record) -> str:
    if record.wallet_id is None:
        return f"transactions (shard {shard}, id {record.id})"
    return f"wallet_events (shard {shard}, id {record.id}, wallet_id {record.wallet_id})"


def _what_differs(shard: int, seq: int, records: Sequence[Record], marks: bytes, noted: bytes) -> tuple[str, str, str]:
    """The place of the first leaf that was changed, added or removed; the leaf expected there, and the one found."""
    found, kept = _split(marks), _split(noted)
    all_found, all_kept = frozenset(found), frozenset(kept)
    added = [place for place, mark in enumerate(found) if mark not in all_kept]
    removed = [place for place, mark in enumerate(kept) if mark not in all_found]
    if added and len(found) > len(kept) > 0:
        return _named(shard, records[added[0]]), f"no such row in the batch of seq {seq}", "a row that was not hashed"
    if removed and len(found) < len(kept):
        place = removed[0]
        before = f"after {_named(shard, records[place - 1])}" if 0 < place <= len(records) else "before all others"
        where = f"transactions or wallet_events (shard {shard}, seq {seq})"
        return where, f"a row {before}, mark {kept[place].hex()}", "none"
    if added and len(found) == len(kept):
        place = added[0]
        expected = f"it and all that it wrote as hashed, mark {kept[place].hex()}"
        return _named(shard, records[place]), expected, f"mark {found[place].hex()}"
    return (
        f"batches (shard {shard}, seq {seq})",
        f"marks {marks.hex()} and a root of these leaves",
        noted.hex() or "none",
    )


def _split(marks: bytes) -> Sequence[bytes]:
    return [marks[at : at + MARK_BYTES] for at in range(0, len(marks), MARK_BYTES)]
