"""`wallet receipt`."""

import json

import click

from wallet.cli.options import json_option
from wallet.errors import SettingsInvalid
from wallet.ledger.receipt import Proved, ReceiptInvalid
from wallet.service.reads.receipts import verify as verify_receipt


@click.group("receipt")
def command() -> None:
    """Check receipts, offline."""


@command.command("verify")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, allow_dash=True))
@click.option(
    "--public-key",
    metavar="HEX",
    default=None,
    envvar="WALLET_RECEIPT_PUBLIC_KEY",
    show_envvar=True,
    help="The public key that you trust. Unset: the receipt's own key, which you must compare.",
)
@json_option
def verify(file: str, public_key: str | None, as_json: bool) -> int:
    """Check the proof and the signature of a receipt, offline. Exits with 1 if the receipt proves nothing.

    \b
    Examples:
      wallet receipt verify receipt.json
      wallet receipt verify receipt.json --public-key d75a9801…
    """
    with click.open_file(file, encoding="utf-8") as stream:
        text = stream.read()
    try:
        receipt = json.loads(text)
        proved = verify_receipt(receipt, None if public_key is None else bytes.fromhex(public_key))
    except json.JSONDecodeError as error:
        return _invalid(f"it is no JSON ({error})", file)
    except ReceiptInvalid as error:
        return _invalid(str(error), file)
    except ValueError:
        raise SettingsInvalid("--public-key must be 64 hexadecimal digits") from None
    if as_json:
        click.echo(json.dumps({"valid": True, "transaction": proved.transaction, "hidden_parts": proved.hidden_parts}))
    else:
        _tell(proved, receipt["public_key"], is_trusted=public_key is not None)
    return 0


def _invalid(why: str, file: str) -> int:
    click.echo(f"wallet: {file} proves nothing: {why}", err=True)
    return 1


def _tell(proved: Proved, public_key: str, *, is_trusted: bool) -> None:
    transaction, signed = proved.transaction, proved.signed
    click.echo(f"valid: {transaction['type']} {transaction['id']}, reference {transaction['reference_id']}")
    click.echo(f"  posted at {transaction['created_at']}")
    for entry in transaction["entries"]:
        after = "" if entry["balance_after"] is None else f", balance then {entry['balance_after']}"
        click.echo(f"  {entry['direction']} {entry['amount']} on wallet {entry['wallet_id']}{after}")
    for step in transaction["hold_steps"]:
        click.echo(f"  {step['kind']} hold {step['hold_id']} on wallet {step['wallet_id']}: held {step['held_after']}")
    if proved.hidden_parts:
        click.echo(f"  and {proved.hidden_parts} parts that are not shown")
    click.echo(f"  link {signed.height} of the audit chain ({signed.hash.hex()})")
    if not is_trusted:
        click.echo(f"  signed by the key that the receipt names: compare {public_key} with the one you know")
