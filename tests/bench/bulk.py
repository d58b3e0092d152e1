"""The bulk row: one import of transfers between random wallets, sent and read at once over one connection."""

import os
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence

from tests.bench import metrics, processes, traffic
from tests.bench.participants import ASSET, Totals, Wallets
from tests.bench.postgres import Server
from tests.bench.runs import Measured
from tests.bench.service import Service

_PIECE_LINES = 1_000
_READ_BYTES = 1 << 20
_ANSWER_SECONDS_MAX = 120.0
_APPLIED = b'"status":201'
_HEAD = (
    "POST /import?answers={answers} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
    "content-type: application/x-ndjson\r\n"
    "connection: close\r\ncontent-length: {length}\r\n\r\n"
)


def transfer_lines(wallets: Wallets, count: int, generator: random.Random) -> Iterator[bytes]:
    """Pieces of _PIECE_LINES lines: a transfer of AMOUNT each, from a wallet with money to any other."""
    sources, targets, bits = wallets.funded, wallets.all, generator.getrandbits
    for start in range(0, count, _PIECE_LINES):
        lines = []
        for _ in range(min(_PIECE_LINES, count - start)):
            source, target = generator.choice(sources), generator.choice(targets)
            while target == source:
                target = generator.choice(targets)
            lines.append(
                f'{{"op":"transfer","reference_id":"{bits(144):036x}","from_wallet_id":"{source}",'
                f'"to_wallet_id":"{target}","amount":{traffic.AMOUNT},"asset_code":"{ASSET}"}}\n'
            )
        yield "".join(lines).encode()


class _Reader:
    """Reads the answer to its end and counts, without looking into lines: the client shares the machine's cores."""

    def __init__(self) -> None:
        self.applied = 0
        self.bytes = 0
        self.tail = b""
        self.gaps_us: list[float] = []

    def read(self, connection: socket.socket) -> None:
        last = time.perf_counter()
        while piece := connection.recv(_READ_BYTES):
            now = time.perf_counter()
            self.gaps_us.append((now - last) * 1e6)
            last = now
            self.bytes += len(piece)
            # A count that lies across two pieces is found in the second.
            self.applied += (self.tail[-len(_APPLIED) + 1 :] + piece).count(_APPLIED)
            self.tail = (self.tail + piece)[-2_000:]


class BulkLoad:
    """Imports into a running service and accounts for CPU, WAL, batches and memory."""

    def __init__(self, server: Server, service: Service, wallets: Wallets, totals: Totals) -> None:
        self._server = server
        self._service = service
        self._wallets = wallets
        self._totals = totals

    def run(self, *, lines: int, answers: str) -> Measured:
        """One import; `answers` is all or failures. Raises RuntimeError unless every line was applied."""
        pieces = list(transfer_lines(self._wallets, lines, random.Random(os.urandom(16))))
        wal_before, metrics_before = self._server.wal(), self._service.metrics()
        before = self._cpu_seconds()
        own_before, began = time.process_time(), time.perf_counter()
        reader = self._import(pieces, answers)
        seconds, own_seconds = time.perf_counter() - began, time.process_time() - own_before
        after = self._cpu_seconds()
        wal_after = self._server.wal()
        if answers == "failures":
            reader.applied = int(reader.tail.partition(b'"applied":')[2].partition(b",")[0] or 0)
        if reader.applied != lines:
            raise RuntimeError(f"{reader.applied} of {lines} lines were applied: {reader.tail[-500:]!r}")
        cpu_seconds = {who: after[who] - before[who] for who in before}
        machine_cpu_seconds = cpu_seconds.pop("machine")
        cpu_seconds["load"] = own_seconds
        self._totals.accepted["transfer"] = self._totals.accepted.get("transfer", 0) + lines * traffic.AMOUNT
        return Measured(
            seconds=seconds,
            accepted=lines,
            latencies_us=reader.gaps_us,
            cpu_seconds=cpu_seconds,
            cpu_accepted=lines,
            machine_cpu_seconds=machine_cpu_seconds,
            cpu_window_seconds=seconds,
            details={
                "lines": lines,
                "latencies_are": "gaps between answers that arrived",
                "answer_bytes_per_line": reader.bytes / lines,
                "wal_bytes_per_request": (wal_after["bytes"] - wal_before["bytes"]) / lines,
                "wal_flushes_per_request": (wal_after["flushes"] - wal_before["flushes"]) / lines,
                "batches": metrics.batches(metrics.difference(self._service.metrics(), metrics_before)),
                "memory": self._service.memory(),
                "load_average": os.getloadavg()[0],
            },
        )

    def _import(self, pieces: Sequence[bytes], answers: str) -> _Reader:
        reader = _Reader()
        with socket.create_connection(("127.0.0.1", self._service.port), timeout=_ANSWER_SECONDS_MAX) as connection:
            head = _HEAD.format(key=self._service.key, answers=answers, length=sum(map(len, pieces)))
            connection.sendall(head.encode())
            sending = threading.Thread(target=lambda: [connection.sendall(piece) for piece in pieces])
            sending.start()
            reader.read(connection)
            sending.join()
        return reader

    def _cpu_seconds(self) -> dict[str, float]:
        return {
            "service": processes.cpu_seconds(self._service.process.pid),
            "postgres": processes.cpu_seconds(self._server.postmaster_pid),
            "machine": processes.machine_cpu_seconds(),
        }
