"""Receipts as a customer gets and checks them: by the service's own verifier and by the one in examples/."""

import asyncio
import copy
import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

from tests.http.asked import held, step, transfer
from tests.http.client import NOBODY, Api, code_of, new_reference, running_api
from tests.http.keyed import keyed, person
from wallet.cli.receipt import command
from wallet.ledger.receipt import ReceiptInvalid
from wallet.service.reads.receipts import verify

pytestmark = pytest.mark.asyncio(loop_scope="module")

STANDALONE = Path(__file__).parents[3] / "examples" / "verify_receipt.py"


async def receipt_of(api: Api, transaction_id: str) -> Any:
    """Once it is sealed, which the keeper sees to."""
    for _ in range(400):
        answer = await api.get(f"/transactions/{transaction_id}/receipt")
        if answer.status_code != 409:
            assert answer.status_code == 200, answer.text
            return answer.json()
        assert code_of(answer) == (409, "not_sealed")
        await asyncio.sleep(0.05)
    raise AssertionError("never sealed")


def standalone(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(STANDALONE), str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_a_receipt_says_what_the_transaction_says_and_is_signed_by_the_key_that_is_told(api: Api) -> None:
    first, second = await api.wallet(100), await api.wallet()
    moved = await api.made("/transfers", transfer(first, second, 30, metadata={"why": "gift"}))
    receipt = await receipt_of(api, moved["id"])
    key = (await api.json("/receipts/key"))["public_key"]
    proved = verify(receipt, bytes.fromhex(key))
    told = proved.transaction
    assert told["id"] == moved["id"]
    assert told["reference_id"] == moved["reference_id"]
    assert json.loads(told["metadata"]) == {"why": "gift"}
    assert told["created_at"] == moved["created_at"]
    lines = [
        {name: entry[name] for name in ("wallet_id", "direction", "amount", "balance_after", "version")}
        for entry in moved["entries"]
    ]
    assert [{name: entry[name] for name in lines[0]} for entry in told["entries"]] == lines
    assert proved.hidden_parts == 0


async def test_holds_and_lots_have_receipts_too(api: Api) -> None:
    wallet = await api.wallet(100)
    hold = await held(api, wallet, 40)
    receipt = await receipt_of(api, hold["id"])
    (placed,) = verify(receipt).transaction["hold_steps"]
    assert (placed["kind"], placed["held_change"], placed["wallet_id"]) == ("place", 40, wallet)
    captured = await api.made(f"/holds/{hold['id']}/capture", step(amount=10))
    assert verify(await receipt_of(api, captured["id"])).transaction["hold_id"] == hold["id"]
    body = {"reference_id": new_reference(), "amount": 5, "asset_code": "GOLD", "lot": {"category": "promotional"}}
    bonus = await api.made(f"/wallets/{wallet}/bonus", body)
    assert verify(await receipt_of(api, bonus["id"])).hidden_parts == 0


async def test_who_is_bound_gets_its_own_side_and_nothing_of_the_other(api: Api) -> None:
    one, other = await person(api), await person(api, balance=77)
    moved = await one.client.made("/transfers", transfer(one.wallet, other.wallet, 3))
    receipt = await receipt_of(other.client, moved["id"])
    (entry,) = verify(receipt).transaction["entries"]
    assert (entry["wallet_id"], entry["balance_after"]) == (other.wallet, 80)
    whole = await receipt_of(api, moved["id"])
    hidden = [part for part in whole["parts"] if part not in [{**each} for each in receipt["parts"]]]
    text = json.dumps(receipt)
    assert hidden
    assert all(part["salt"] not in text and part["content"] not in text for part in hidden)
    assert one.wallet.replace("-", "") not in text
    assert one.wallet not in text


async def test_no_receipt_of_what_one_does_not_see(api: Api) -> None:
    one, stranger = await person(api), await person(api)
    moved = await one.client.made("/transfers", transfer(one.wallet, one.second, 3))
    assert code_of(await stranger.client.get(f"/transactions/{moved['id']}/receipt")) == (404, "transaction_not_found")
    assert code_of(await api.get(f"/transactions/{NOBODY}/receipt")) == (404, "transaction_not_found")
    assert code_of(await api.get("/transactions/none/receipt")) == (400, "invalid_request")
    spender = await keyed(api, "spend")
    assert code_of(await spender.get(f"/transactions/{moved['id']}/receipt")) == (403, "forbidden")


def changed(path: str, value: Any) -> Callable[[Any], None]:
    def change(receipt: Any) -> None:
        *names, last = [int(name) if name.isdigit() else name for name in path.split(".")]
        for name in names:
            receipt = receipt[name]
        receipt[last] = value(receipt[last]) if callable(value) else value

    return change


def flipped(text: str) -> str:
    return ("1" if text[0] == "0" else "0") + text[1:]


CHANGES = {
    "head": changed("head", flipped),
    "salt": changed("parts.1.salt", flipped),
    "content": changed("parts.1.content", lambda text: text[:-1] + ("0" if text[-1] != "0" else "1")),
    "part left out": lambda receipt: receipt["parts"].pop(),
    "index": changed("index", lambda index: index + 1),
    "size": changed("size", lambda size: size + 1),
    "path": lambda receipt: receipt["path"].append("00" * 32),
    "root": changed("link.root", flipped),
    "shard": changed("link.shard", 1),
    "height": changed("link.height", lambda height: height + 1),
    "seq": changed("link.seq", lambda seq: seq + 1),
    "batch id": changed("link.batch_id", NOBODY),
    "batch's time": changed("link.created_at", lambda at: at + 1),
    "count": changed("link.transactions", lambda count: count + 1),
    "given": changed("link.is_given", False),
    "previous": changed("link.previous", flipped),
    "link": changed("link.hash", flipped),
    "chain's height": changed("chain.height", lambda height: height + 1),
    "chain's hash": changed("chain.hash", flipped),
    "time": changed("signed_at", lambda at: at + 1),
    "key": changed("public_key", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
    "signature": changed("signature", flipped),
    "no signature": lambda receipt: receipt.pop("signature"),
    "format": changed("format", 2),
}

ONLY_WORDS = {
    "amount told": changed("transaction.entries.0.amount", 10**6),
    "balance told": changed("transaction.entries.1.balance_after", 10**6),
    "type told": changed("transaction.type", "topup"),
    "entry not told": lambda receipt: receipt["transaction"]["entries"].pop(),
}
"""The parts that the stand-alone verifier does not check: it tells what was hashed, and nothing else."""


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return {}


async def a_receipt(api: Api, kept: dict[str, Any]) -> Any:
    if not kept:
        first, second = await api.wallet(100), await api.wallet()
        moved = await api.made("/transfers", transfer(first, second, 30))
        kept["receipt"] = await receipt_of(api, moved["id"])
        kept["key"] = (await api.json("/receipts/key"))["public_key"]
    return copy.deepcopy(kept["receipt"])


@pytest.mark.parametrize("name", CHANGES | ONLY_WORDS)
async def test_whatever_is_changed_in_a_receipt_it_proves_nothing(
    lanes: Any, kept: dict[str, Any], tmp_path: Path, name: str
) -> None:
    receipt = await a_receipt(lanes["fast lane"], kept)
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    assert standalone(file, kept["key"]).returncode == 0
    assert verify(receipt, bytes.fromhex(kept["key"]))
    (CHANGES | ONLY_WORDS)[name](receipt)
    with pytest.raises(ReceiptInvalid):
        verify(receipt)
    file.write_text(json.dumps(receipt))
    told = CliRunner().invoke(command, ["verify", str(file)], standalone_mode=False)
    assert told.return_value == 1
    assert "proves nothing" in told.output
    if name in CHANGES:
        assert standalone(file).returncode != 0


async def test_what_was_hashed_is_not_taken_apart_in_another_way(api: Api, tmp_path: Path) -> None:
    # Cut before its lengths, with as many hashes as these bytes say: a client's texts would pass for hashes of parts.
    first, second = await api.wallet(100), await api.wallet()
    moved = await api.made(
        "/transfers", transfer(first, second, 30) | {"reference_id": new_reference().ljust(133, "r")}
    )
    receipt = await receipt_of(api, moved["id"])
    head = bytes.fromhex(receipt["head"])
    salted = [bytes.fromhex(part["salt"] + part["content"]) for part in receipt["parts"]]
    hashes = b"".join(sha256(b"\x03" + each).digest() for each in salted)
    rest = head[72:] + len(salted).to_bytes(4) + hashes
    assert len(rest) == 32 * int.from_bytes(head[68:72])
    receipt |= {
        "head": head[:68].hex(),
        "parts": [{"hash": rest[at : at + 32].hex()} for at in range(0, len(rest), 32)],
    }
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    assert standalone(file).returncode != 0
    with pytest.raises(ReceiptInvalid):
        verify(receipt)


async def test_a_salt_has_its_length(lanes: Any, kept: dict[str, Any], tmp_path: Path) -> None:
    receipt = await a_receipt(lanes["fast lane"], kept)
    part = receipt["parts"][0]
    part["salt"], part["content"] = part["salt"] + part["content"][:2], part["content"][2:]
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    assert standalone(file).returncode != 0
    with pytest.raises(ReceiptInvalid):
        verify(receipt)


async def test_both_verifiers_say_what_is_proved(lanes: Any, kept: dict[str, Any], tmp_path: Path) -> None:
    receipt = await a_receipt(lanes["fast lane"], kept)
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    alone = standalone(file, kept["key"])
    own = CliRunner().invoke(command, ["verify", str(file), "--public-key", kept["key"]], standalone_mode=False)
    assert own.return_value == 0
    for line in ("debit 30 on wallet", "credit 30 on wallet", "balance then 70"):
        assert line in alone.stdout
        assert line in own.output
    other = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert "another key" in standalone(file, other).stderr
    refused = CliRunner().invoke(command, ["verify", str(file), "--public-key", other], standalone_mode=False)
    assert refused.return_value == 1
    assert "another key" in refused.output


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "null", '{"format": 1, "head": "zz"}', "\x00"])
async def test_what_is_no_receipt_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "receipt.json"
    file.write_text(text)
    told = CliRunner().invoke(command, ["verify", str(file)], standalone_mode=False)
    assert told.return_value == 1, told
    assert "proves nothing" in told.output
    assert standalone(file).returncode != 0


async def test_history_that_does_not_fit_the_chain_is_not_signed(database_url: str) -> None:
    async with running_api(database_url) as api:
        await api.made("/assets", {"code": "GOLD"})
        wallet = await api.wallet()
        moved = await api.moved("topup", wallet, 100)
        await receipt_of(api, moved["id"])
        owner = await asyncpg.connect(database_url)
        try:
            await owner.execute("ALTER TABLE ledger_entries DISABLE TRIGGER ledger_entries_append_only")
            await owner.execute("UPDATE ledger_entries SET amount = 1000 WHERE wallet_id = $1", wallet)
        finally:
            await owner.close()
        assert code_of(await api.get(f"/transactions/{moved['id']}/receipt")) == (500, "internal_error")
