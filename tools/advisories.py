"""`python -m tools.advisories` asks the advisory database (osv.dev) about every package of uv.lock, by `uv audit`.

Without --required, a database that cannot be asked is one line and no failure, so that checks work without a network.
A known vulnerability is always a failure. Other options are passed on to `uv audit`.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

REQUIRED: Final = "--required"
SECONDS_MAX: Final = 60.0
"""The bound on the whole audit, however slow the network is."""

_UV: Final = Path(sys.executable).with_name("uv")
_PREVIEW: Final = ("--preview-features", "audit-command,build-dependency-hashes")
_FOUND_EXIT_CODE: Final = 1
_PATIENCE: Final = {"UV_HTTP_CONNECT_TIMEOUT": "5", "UV_HTTP_TIMEOUT": "15", "UV_HTTP_RETRIES": "1"}


def main() -> None:
    options = sys.argv[1:]
    is_required = REQUIRED in options
    code, said = audit([each for each in options if each != REQUIRED])
    if code in (0, _FOUND_EXIT_CODE) or is_required:
        print(said)
        sys.exit(code)
    reason = next((line for line in said.splitlines() if line.startswith("error: ")), f"error: exit code {code}")
    print(
        f"SKIPPED: the advisory database was not asked ({reason.removeprefix('error: ')}); with a network: make audit"
    )


def audit(options: Sequence[str]) -> tuple[int, str]:
    """The exit code of `uv audit`, and its output. A code above 1 means that the database could not be asked."""
    command = [str(_UV), "audit", "--locked", "--no-progress", *_PREVIEW, *options]
    try:
        ended = subprocess.run(
            command,
            env={**os.environ, **_PATIENCE},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 2, f"error: no answer in {SECONDS_MAX:.0f} seconds"
    return ended.returncode, (ended.stderr + ended.stdout).strip()


if __name__ == "__main__":
    main()
