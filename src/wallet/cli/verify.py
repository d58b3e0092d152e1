"""`wallet verify`."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from wallet.cli.checkpoint import read_checkpoints
from wallet.cli.database import database_of, ensure_set_up, existing_database
from wallet.cli.options import DATABASE, EMBEDDED, flag, json_option, with_settings
from wallet.settings import Settings
from wallet.storage.chain.seal import Checkpoint
from wallet.storage.verify.chain import ChainReport, verify_with_chain
from wallet.storage.verify.ledger import VerifyProgress, VerifyReport, verify

OnProgress = Callable[[VerifyProgress], None]


@click.command("verify")
@with_settings(*DATABASE, *EMBEDDED)
@flag("--chain", "with_chain", env="WALLET_VERIFY_CHAIN", meaning="Check the audit chain as well.")
@click.option(
    "--against",
    "against_file",
    default="",
    envvar="WALLET_VERIFY_AGAINST",
    show_envvar=True,
    help="A file of `wallet checkpoint`: check the chain, and that it goes through each of them.",
)
@json_option
def command(settings: Settings, with_chain: bool, against_file: str, as_json: bool) -> int:
    """Check the whole ledger: that nothing was lost, invented or changed. Names the first wrong row.

    Law 1: for each asset all balances sum to zero, and each transaction's credits equal its debits. Law 2: each
    balance is the sum of its entries, the amount held is the sum of the open holds, and lots add up. Law 3: no
    movement took more than was available. Law 4: versions have no gap, and times never run backwards. Law 7:
    every state agrees with its history, and with --chain, history agrees with the hashes made when it was written.

    Changes nothing and may run beside the service. Exits with 1 if a row is wrong. Without DATABASE_URL it
    works on the data of `wallet dev`.

    \b
    Examples:
      wallet verify
      wallet verify --against checkpoints.jsonl
      DATABASE_URL=postgresql://wallet:secret@db/wallet wallet verify --chain --json
    """
    against = read_checkpoints(against_file) if against_file else ()
    with existing_database(settings) as found, _progress_shown() as on_progress:
        report, chain = asyncio.run(_verify(found, on_progress, with_chain or bool(against), against))
    if as_json:
        click.echo(json.dumps(_as_object(report, chain, against)))
    else:
        _show(report, chain, against)
    return 0 if report.is_sound else 1


async def _verify(
    settings: Settings, on_progress: OnProgress, with_chain: bool, against: Sequence[Checkpoint]
) -> tuple[VerifyReport, ChainReport | None]:
    await ensure_set_up(settings)
    dsn = database_of(settings).dsn
    if with_chain:
        return await verify_with_chain(dsn, against=against, on_progress=on_progress)
    return await verify(dsn, on_progress=on_progress), None


@contextmanager
def _progress_shown() -> Iterator[OnProgress]:
    """Show progress on standard error, apart from the result: a bar for each stage on a terminal, else a line."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _line_per_stage()
        return
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars: dict[str, TaskID] = {}

        def show(seen: VerifyProgress) -> None:
            if seen.stage not in bars:
                bars[seen.stage] = progress.add_task(seen.stage, total=None)
            progress.update(bars[seen.stage], completed=seen.rows_done, total=seen.rows_expected or None)

        yield show
        for bar in bars.values():
            progress.update(bar, total=progress.tasks[bar].completed)


def _line_per_stage() -> OnProgress:
    begun: set[str] = set()

    def show(seen: VerifyProgress) -> None:
        if seen.stage not in begun:
            begun.add(seen.stage)
            expected = f" (about {seen.rows_expected} rows)" if seen.rows_expected else ""
            click.echo(f"checking {seen.stage}{expected}", err=True)

    return show


def _as_object(report: VerifyReport, chain: ChainReport | None, against: Sequence[Checkpoint]) -> dict[str, object]:
    return {
        "is_sound": report.is_sound,
        "chain": chain
        and {
            "batches": chain.batches,
            "sealed": chain.sealed,
            "leaves": chain.leaves,
            "checkpoints": len(against),
        },
        "rows_checked": {str(law): rows for law, rows in report.rows_checked.items()},
        "findings": [asdict(finding) for finding in report.findings],
    }


def _show(report: VerifyReport, chain: ChainReport | None, against: Sequence[Checkpoint]) -> None:
    checked = ", ".join(f"law {law}: {rows}" for law, rows in report.rows_checked.items())
    state = "in order" if report.is_sound else "NOT in order"
    first = "" if report.is_sound else "; the first wrong row of each check:"
    click.echo(f"the ledger is {state} (rows checked: {checked}; {_of_chain(chain, against)}){first}")
    for each in report.findings:
        # No table: it would cut or fold the key.
        click.echo(f"law {each.law}, {each.check}: {each.where}: expected {each.expected}, found {each.found}")


def _of_chain(chain: ChainReport | None, against: Sequence[Checkpoint]) -> str:
    if chain is None:
        return "the audit chain was not checked: --chain does"
    told = f"audit chain: {chain.leaves} leaves in {chain.batches} batches, of which {chain.sealed} are sealed"
    return f"{told}; checkpoints: {len(against)}" if against else told
