"""`python -m tests.openapi --examples 200`: counts wrong requests and their answers, for docs/reliability.md."""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.openapi.asking import ask_by_document
from tests.postgres import Servers


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        dsn = stack.enter_context(Servers(stack).default().database())
        asked = ask_by_document(dsn, folder, examples=chosen.examples, seed=chosen.seed)
    print(f"requests: {asked.count()}, of them wrong on purpose: {asked.count(meant_to_be='negative')}")
    for status in sorted({name.split()[1] for name in asked.answered}):
        wrong = asked.count(status, meant_to_be="negative")
        print(f"  {status}: {asked.count(status)}, of them wrong on purpose: {wrong}")
    print(f"answers 5xx: {asked.count('5')}")
    print(f"findings of the checks: {'none' if asked.is_clean else asked.said}")


if __name__ == "__main__":
    main()
