"""`wallet verify`."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from wallet.cli.database import database_of, existing_database, schema_is_current
from wallet.cli.options import DATABASE, EMBEDDED, json_option, with_settings
from wallet.errors import SettingsInvalid
from wallet.settings import Settings
from wallet.storage.verify import VerifyProgress, VerifyReport, verify

OnProgress = Callable[[VerifyProgress], None]


@click.command("verify")
@with_settings(*DATABASE, *EMBEDDED)
@json_option
def command(settings: Settings, as_json: bool) -> int:
    """Check the whole ledger: that nothing was lost, made up or changed. Names the first wrong row.

    1: per asset all wallets sum to zero, and each transaction's credits equal its debits. 2: each balance is
    the sum of its entries, what is held the sum of its open holds, and lots add up. 3: no movement took more
    than there was. 4: versions have no gap, and times never run backwards. 7: every state is what its history
    says.

    Changes nothing and may run beside the service. Exits with 1 if a row is wrong. Without DATABASE_URL it
    works on the data of `wallet dev`.

    \b
    Examples:
      wallet verify
      DATABASE_URL=postgresql://wallet:secret@db/wallet wallet verify --json
    """
    with existing_database(settings) as found, _progress_shown() as on_progress:
        report = asyncio.run(_verify(found, on_progress))
    if as_json:
        click.echo(json.dumps(_as_object(report)))
    else:
        _show(report)
    return 0 if report.is_sound else 1


async def _verify(settings: Settings, on_progress: OnProgress) -> VerifyReport:
    if not await schema_is_current(settings):
        raise SettingsInvalid("the database's schema is not up to date: run `wallet migrate` first")
    return await verify(database_of(settings).dsn, on_progress=on_progress)


@contextmanager
def _progress_shown() -> Iterator[OnProgress]:
    """A bar per step on a terminal, a line per step elsewhere; on standard error, which is not the result."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _line_per_step()
        return
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars: dict[str, TaskID] = {}

        def show(seen: VerifyProgress) -> None:
            if seen.step not in bars:
                bars[seen.step] = progress.add_task(seen.step, total=None)
            progress.update(bars[seen.step], completed=seen.rows_done, total=seen.rows_expected or None)

        yield show
        for bar in bars.values():
            progress.update(bar, total=progress.tasks[bar].completed)


def _line_per_step() -> OnProgress:
    begun: set[str] = set()

    def show(seen: VerifyProgress) -> None:
        if seen.step not in begun:
            begun.add(seen.step)
            expected = f" (about {seen.rows_expected} rows)" if seen.rows_expected else ""
            click.echo(f"checking {seen.step}{expected}", err=True)

    return show


def _as_object(report: VerifyReport) -> dict[str, object]:
    return {
        "is_sound": report.is_sound,
        "rows_checked": {str(law): rows for law, rows in report.rows_checked.items()},
        "findings": [asdict(finding) for finding in report.findings],
    }


def _show(report: VerifyReport) -> None:
    checked = ", ".join(f"law {law}: {rows}" for law, rows in report.rows_checked.items())
    if report.is_sound:
        click.echo(f"the ledger is in order (rows checked: {checked})")
        return
    click.echo(f"the ledger is NOT in order (rows checked: {checked}); the first wrong row of each check:")
    for each in report.findings:
        # Not in a table, which would cut or fold the key.
        click.echo(f"law {each.law}, {each.check}: {each.where}: expected {each.expected}, found {each.found}")
