"""Starting, ending and surviving: the program as processes, signals and sockets see it."""

import json
import os
import queue
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.http.server import tiny_service
from wallet.errors import SettingsInvalid
from wallet.http.server.listeners import base_url, listen, within_open_files
from wallet.http.server.serve import serve
from wallet.http.server.supervisor import RESTART_SECONDS_MAX, restart_seconds
from wallet.settings import Settings

# No measurement: it ends a test that would hang.
PATIENCE_SECONDS = 30.0


class Program:
    """The tiny service as a process of its own, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())
        self._lines.put(None)

    def hear(self, beginning: str) -> str:
        """The next line with this beginning; lines before it are kept in `said`."""
        while (line := self._lines.get(timeout=PATIENCE_SECONDS)) is not None:
            self.said.append(line)
            if line.startswith(beginning):
                return line
        raise AssertionError(f"ended without {beginning!r}: {self.said}")

    def ended(self) -> int:
        """The exit code, and in `said` all that was said."""
        while (line := self._lines.get(timeout=PATIENCE_SECONDS)) is not None:
            self.said.append(line)
        return self.process.wait(PATIENCE_SECONDS)

    def ready(self) -> tuple[str, int]:
        url = urlsplit(self.hear("ready").split()[1])
        assert url.hostname is not None
        assert url.port is not None
        return url.hostname, url.port

    def clean_up(self) -> None:
        # The whole session, which is ours: a worker that a failed test left stopped would not end by itself.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def program(*, fault: str | None = None, **settings: Any) -> Iterator[Program]:
    argument = json.dumps({"settings": {"port": 0, **settings}, "fault": fault})
    with TemporaryDirectory() as folder:  # what a killed program leaves behind goes with it
        process = subprocess.Popen(
            [sys.executable, str(Path(tiny_service.__file__)), argument],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A session of its own: Ctrl-C is sent to the whole of it, as a terminal does.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.getcwd(), "TMPDIR": folder},
        )
        running = Program(process)
        try:
            yield running
        finally:
            running.clean_up()


def ask(address: tuple[str, int], path: str = "/") -> Any:
    """The answer, over a connection of its own."""
    with closing(HTTPConnection(*address, timeout=PATIENCE_SECONDS)) as connection:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether the process is there, and no zombie that nobody has asked after."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def pids_that_answer(address: tuple[str, int], count: int) -> set[int]:
    """The workers that answer, once there are `count` of them. Connections are held: an idle worker takes the next."""
    pids: set[int] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(pids) < count:
        assert time.monotonic() < deadline, pids
        with ExitStack() as held:
            asked = []
            for _ in range(16):
                connection = held.enter_context(closing(HTTPConnection(*address, timeout=PATIENCE_SECONDS)))
                connection.request("GET", "/")
                asked.append(connection)
            pids |= {json.loads(connection.getresponse().read())["pid"] for connection in asked}
    return pids


def in_flight(address: tuple[str, int], running: Program) -> HTTPConnection:
    """A request that the application has accepted, and answers when it drains."""
    connection = HTTPConnection(*address, timeout=PATIENCE_SECONDS)
    connection.request("GET", "/answered-by-drain")
    running.hear("accepted")
    return connection


class TestListening:
    def test_a_taken_port_is_refused_in_one_line_that_says_what_to_do(self) -> None:
        with listen(Settings(port=0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(SettingsInvalid) as refused:
                serve(Settings(port=port), tiny_service.make_tiny_application, on_ready=print)
        assert str(refused.value) == (
            f"port {port} on 127.0.0.1 is taken by another program; end that one, or choose another port with PORT"
        )

    def test_a_port_taken_on_all_addresses_is_refused(self) -> None:
        with listen(Settings(port=0, host="127.0.0.1")) as taken, pytest.raises(SettingsInvalid):
            listen(Settings(port=taken.getsockname()[1], host="0.0.0.0"))

    def test_a_host_that_is_none_is_refused(self) -> None:
        with pytest.raises(SettingsInvalid, match="WALLET_HOST"):
            listen(Settings(port=0, host="no host at all"))

    def test_an_address_of_another_machine_is_refused(self) -> None:
        with pytest.raises(SettingsInvalid, match="WALLET_HOST"):
            listen(Settings(port=0, host="192.0.2.1"))

    @pytest.mark.parametrize(
        ("host", "url"),
        [
            ("127.0.0.1", "http://127.0.0.1:8080"),
            ("0.0.0.0", "http://127.0.0.1:8080"),
            ("::", "http://127.0.0.1:8080"),
            ("::1", "http://[::1]:8080"),
            ("localhost", "http://localhost:8080"),
        ],
    )
    def test_the_url_works_on_this_machine(self, host: str, url: str) -> None:
        assert base_url(host, 8080) == url

    def test_connections_stay_under_the_limit_of_open_files(self) -> None:
        settings = within_open_files(Settings(connections_max=2**60))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == hard
        assert settings.connections_max < hard

    def test_ten_thousand_idle_connections_leave_room_for_a_request(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        with program(request_seconds_max=60.0) as running, ExitStack() as idle:
            address = running.ready()
            for _ in range(min(10_000, hard - 1_000)):
                idle.enter_context(socket.create_connection(address, timeout=PATIENCE_SECONDS))
            assert ask(address)["path"] == "/"


class TestOneProcess:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_and_the_caller_can_clean_up(self, number: signal.Signals) -> None:
        with program() as running:
            running.ready()
            running.process.send_signal(number)
            assert running.ended() == 0
            assert "returned" in running.said

    def test_a_request_in_flight_is_answered_before_the_end(self) -> None:
        with program() as running:
            with closing(in_flight(running.ready(), running)) as connection:
                running.process.terminate()
                answer: HTTPResponse = connection.getresponse()
                assert (answer.status, answer.getheader("connection")) == (200, "close")
                assert json.loads(answer.read())["path"] == "/answered-by-drain"
            assert running.ended() == 0

    def test_the_steps_of_the_end_come_in_order(self) -> None:
        with program(log_level="error") as running:
            running.ready()
            running.process.terminate()
            running.ended()
            assert running.said[1:] == ["begin_shutdown", "drain", "closed", "returned"]

    def test_start_and_stop_are_a_line_each_in_the_log(self) -> None:
        with program() as running:
            running.ready()
            running.process.terminate()
            running.ended()
            logged = [line for line in running.said if " INFO wallet." in line and "open files" not in line]
            assert [line.rpartition("] ")[2].split()[0] for line in logged] == ["serving", "stopped"]

    def test_no_new_connection_is_taken_while_draining(self) -> None:
        with program(fault="drain never ends", shutdown_seconds_max=PATIENCE_SECONDS) as running:
            address = running.ready()
            running.process.terminate()
            running.hear("drain")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)

    def test_a_request_that_never_arrives_whole_does_not_hold_up_the_end(self) -> None:
        with (
            program(shutdown_seconds_max=0.1, request_seconds_max=600.0) as running,
            socket.create_connection(running.ready()) as connection,
        ):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 100")
            running.process.terminate()
            assert running.ended() == 0

    def test_a_drain_that_fails_does_not_keep_the_application_from_closing(self) -> None:
        with program(fault="drain fails") as running:
            running.ready()
            running.process.terminate()
            assert running.ended() == 0
            assert "closed" in running.said

    def test_a_second_ctrl_c_forces_the_end(self) -> None:
        with program(fault="drain never ends", shutdown_seconds_max=600.0) as running:
            running.ready()
            running.process.send_signal(signal.SIGINT)
            running.hear("drain")
            running.process.send_signal(signal.SIGINT)
            assert running.ended() == 1
            assert "returned" in running.said

    def test_ctrl_c_ends_a_start_that_takes_long(self) -> None:
        with program(fault="start never ends") as running:
            running.hear("starting")
            running.process.send_signal(signal.SIGINT)
            assert running.ended() == 0
            assert not any("Traceback" in line for line in running.said)

    def test_an_application_that_does_not_start_is_an_exit_code(self) -> None:
        with program(fault="start fails") as running:
            assert running.ended() == 3
            assert any("start fails" in line for line in running.said)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestWorkers:
    def test_all_of_them_serve(self) -> None:
        with program(workers=2) as running:
            assert running.process.pid not in pids_that_answer(running.ready(), 2)

    def test_sigterm_ends_all_after_the_request_in_flight(self) -> None:
        with program(workers=2) as running:
            address = running.ready()
            pids = pids_that_answer(address, 2)
            with closing(in_flight(address, running)) as connection:
                running.process.terminate()
                assert connection.getresponse().status == 200
            assert running.ended() == 0
            assert not any(is_running(pid) for pid in pids)
            assert running.said.count("closed") == 2

    def test_ctrl_c_in_a_terminal_ends_all_in_order(self) -> None:
        with program(workers=2) as running:
            running.ready()
            os.killpg(running.process.pid, signal.SIGINT)
            assert running.ended() == 0
            assert running.said.count("closed") == 2
            assert not any("Traceback" in line for line in running.said)

    def test_a_second_ctrl_c_forces_the_end(self) -> None:
        with program(workers=2, fault="drain never ends", shutdown_seconds_max=600.0) as running:
            running.ready()
            os.killpg(running.process.pid, signal.SIGINT)
            running.hear("drain")
            running.hear("drain")
            os.killpg(running.process.pid, signal.SIGINT)
            running.ended()
            assert "returned" in running.said

    def test_a_killed_one_is_replaced(self) -> None:
        with program(workers=2) as running:
            address = running.ready()
            killed, other = pids_that_answer(address, 2)
            os.kill(killed, signal.SIGKILL)
            until(lambda: not is_running(killed))
            survivors = pids_that_answer(address, 2)
            assert other in survivors
            assert killed not in survivors

    def test_while_none_is_left_clients_are_turned_away_and_then_served_again(self) -> None:
        with program(workers=2) as running:
            address = running.ready()
            killed = pids_that_answer(address, 2)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            until(lambda: not any(is_running(pid) for pid in killed))
            # A new one takes longer to start than this takes to be closed.
            with pytest.raises((ConnectionError, HTTPException)):
                ask(address)

            def is_served() -> bool:
                try:
                    return ask(address)["pid"] not in killed
                except (ConnectionError, HTTPException):
                    return False

            until(is_served)
            assert killed.isdisjoint(pids_that_answer(address, 2))

    def test_the_first_are_replaced_at_once_and_no_wait_grows_beyond_its_bound(self) -> None:
        waits = [restart_seconds(young_ends) for young_ends in range(2000)]
        assert waits[:3] == [0, 0, 0]
        assert 0 < waits[3] < waits[4] < waits[5]
        assert max(waits) == waits[-1] == RESTART_SECONDS_MAX

    def test_they_end_when_the_supervisor_is_killed(self) -> None:
        with program(workers=2) as running:
            pids = pids_that_answer(running.ready(), 2)
            running.process.kill()
            until(lambda: not any(is_running(pid) for pid in pids))
            running.ended()
            assert running.said.count("closed") == 2

    def test_a_stopped_one_comes_back_and_serves_on(self) -> None:
        with program(workers=2) as running:
            address = running.ready()
            pids = pids_that_answer(address, 2)
            stopped, other = pids
            os.kill(stopped, signal.SIGSTOP)
            assert pids_that_answer(address, 1) == {other}
            os.kill(stopped, signal.SIGCONT)
            assert pids_that_answer(address, 2) == pids

    def test_one_that_stays_stopped_does_not_hold_up_the_end_for_ever(self) -> None:
        with program(workers=2, shutdown_seconds_max=0.1) as running:
            stopped, _ = pids_that_answer(running.ready(), 2)
            os.kill(stopped, signal.SIGSTOP)
            running.process.terminate()
            assert running.ended() == 0
            assert not is_running(stopped)

    def test_a_start_that_fails_ends_all(self) -> None:
        with program(workers=2, fault="start fails") as running:
            assert running.ended() == 3

    def test_their_metrics_meet_in_a_folder_that_goes_with_them(self) -> None:
        with program(workers=2) as running:
            folder = Path(ask(running.ready())["metrics_folder"])
            assert folder.is_dir()
            running.process.terminate()
            running.ended()
            assert not folder.exists()
