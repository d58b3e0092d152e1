"""Running `wallet` in this process, in an environment that has none of its variables."""

import socket

import pytest

from tests.cli.running import Ended, Wallet, variables_set
from wallet.cli.main import main


@pytest.fixture
def wallet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Wallet:
    for variable in variables_set():
        monkeypatch.delenv(variable)

    def run(*arguments: str, **environment: str) -> Ended:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main(arguments)
        printed = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Ended(code or 0, printed.out, printed.err)

    return run


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
