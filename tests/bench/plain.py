"""Part (a): the plain design's statements by pgbench, without any HTTP, which is kinder to it than reality."""

import contextlib
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench import processes
from tests.bench.postgres import Database, Server
from tests.bench.runs import Measured

_HERE = Path(__file__).parent
_DATABASE = "bench_plain"
WALLETS = 100_000
ROUND_TRIPS = 11


class Plain:
    """The plain design's database and how to load it."""

    def __init__(self, server: Server, database: Database) -> None:
        self._server = server
        self._database = database

    def run(self, *, clients: int, seconds: float, warmup_seconds: float = 1.0) -> Measured:
        """Top-ups by `clients` connections. Raises RuntimeError if pgbench or one of its clients fails."""
        with tempfile.TemporaryDirectory() as folder:
            prefix = Path(folder) / "log"
            command = [
                str(self._server.pgbench),
                *("--no-vacuum", "--protocol=prepared", "--log", f"--log-prefix={prefix}"),
                *(f"--client={clients}", f"--jobs={min(clients, 2)}"),
                *(f"--time={round(seconds + warmup_seconds)}", f"--file={_HERE / 'plain_topup.sql'}"),
                self._database.dsn,
            ]
            own_before = _children_cpu_seconds()
            server_before = processes.cpu_seconds(self._server.postmaster_pid)
            machine_before = processes.machine_cpu_seconds()
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120, check=False)
            server_cpu = processes.cpu_seconds(self._server.postmaster_pid) - server_before
            own_cpu = _children_cpu_seconds() - own_before
            machine_cpu = processes.machine_cpu_seconds() - machine_before
            if done.returncode != 0:
                raise RuntimeError(f"pgbench failed: {done.stderr[-2000:]}")
            latencies_us, window_seconds, total = _read_log(Path(folder), warmup_seconds)
        # CPU is known for the whole of pgbench's run only, the warm-up included.
        return Measured(
            seconds=window_seconds,
            accepted=len(latencies_us),
            latencies_us=latencies_us,
            cpu_seconds={"postgres": server_cpu, "load": own_cpu},
            cpu_accepted=total,
            machine_cpu_seconds=machine_cpu,
            cpu_window_seconds=window_seconds * total / max(len(latencies_us), 1),
        )

    def sums_up(self) -> dict[str, int | bool]:
        """Whether the balances say what the transactions say."""
        transactions, moved, treasury = self._database.rows(
            "SELECT (SELECT count(*) FROM transactions),"
            " (SELECT sum(balance)::bigint FROM wallets WHERE balance > 0),"
            " (SELECT balance FROM wallets WHERE id = '00000000-0000-0000-0000-000000000000')"
        )[0]
        moved = moved or 0
        return {
            "transactions": transactions,
            "treasury": treasury,
            "agrees": moved == transactions * 100 == -treasury,
        }


@contextlib.contextmanager
def plain_design(server: Server) -> Iterator[Plain]:
    """The plain design with 100,000 wallets and a few transactions, so that no plan was made on empty tables."""
    database = server.database.created(_DATABASE)
    try:
        database.execute((_HERE / "plain_schema.sql").read_text())
        plain = Plain(server, database)
        database.execute("VACUUM ANALYZE")
        plain.run(clients=16, seconds=2, warmup_seconds=0)
        database.execute("VACUUM ANALYZE")
        yield plain
    finally:
        server.database.dropped(_DATABASE)


def _read_log(folder: Path, warmup_seconds: float) -> tuple[list[float], float, int]:
    """Latencies in microseconds after the warm-up, the seconds they cover, and how many there were in all."""
    finished: list[tuple[float, float]] = []
    for file in folder.iterdir():
        for line in file.read_text().splitlines():
            # client, transaction number, latency in µs, script, epoch seconds, microseconds
            columns = line.split()
            finished.append((int(columns[4]) + int(columns[5]) / 1e6, float(columns[2])))
    if not finished:
        raise RuntimeError("pgbench finished no transaction")
    started_at = min(at - latency / 1e6 for at, latency in finished) + warmup_seconds
    in_window = [latency for at, latency in finished if at >= started_at]
    return in_window, max(at for at, _ in finished) - started_at, len(finished)


def _children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
