"""All kinds of faults, by name."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults import faults_of_connections, faults_of_disks, faults_of_processes, faults_of_time
from tests.faults.rig import Rig


@dataclass(frozen=True, slots=True)
class Fault:
    """`inject` breaks something and returns when it is whole again, as far as anybody but the service makes it so."""

    kind: str
    inject: Callable[[Rig], Awaitable[None]]
    ends_workers: bool = False
    needs_volume: bool = False


FAULTS = (
    Fault("kill a worker", faults_of_processes.kill_worker, ends_workers=True),
    Fault("kill the service", faults_of_processes.kill_service, ends_workers=True),
    Fault("kill a backend", faults_of_processes.kill_backend),
    Fault("shut PostgreSQL down at once", faults_of_processes.shut_postgres_down),
    Fault("kill PostgreSQL", faults_of_processes.kill_postgres),
    Fault("stop a worker that holds locks", faults_of_time.freeze_worker),
    Fault("stop the keepers' leader", faults_of_time.freeze_leader),
    Fault("stop PostgreSQL for a while", faults_of_time.freeze_postgres),
    Fault("the clock jumps", faults_of_time.jump_clock),
    Fault("COMMIT is lost", faults_of_connections.lose_commit),
    Fault("the answer of COMMIT is lost", faults_of_connections.lose_commit_answer),
    Fault(
        "the answer of COMMIT is lost, and the database with it", faults_of_connections.lose_commit_answer_and_database
    ),
    Fault("COMMIT is cut in the middle", faults_of_connections.cut_commit),
    Fault("the answer of COMMIT is cut in the middle", faults_of_connections.cut_commit_answer),
    Fault("the answer of COMMIT is late", faults_of_connections.delay_commit_answer),
    Fault("all connections are cut", faults_of_connections.cut_everything),
    Fault("all connections stall", faults_of_connections.stall_everything),
    Fault("the database is slow", faults_of_connections.slow_database),
    Fault("the disk is full", faults_of_disks.fill_disk, needs_volume=True),
    Fault("the disk is full under the log", faults_of_disks.fill_disk_under_wal, needs_volume=True),
)
