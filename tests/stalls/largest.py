"""The largest requests that every route takes: all legs, all rows of a page, all bytes."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from tests.http.client import new_reference
from tests.stalls.asking import Asked
from tests.stalls.world import LEGS, METADATA, ROWS, World, claim_of, transaction_item, transfer_item
from wallet.service.reads.pages import LIMIT_MAX, OFFSET_MAX
from wallet.service.writes.bulk import GROUP_ITEMS_MAX, GROUP_LEGS_MAX

Largest: TypeAlias = Callable[[World], Iterator[Asked]]

IMPORT_LINES = 4_000
"""More than an import has under way at once; the rest of it is more of the same."""
_PAGE = f"limit={LIMIT_MAX}&amounts=string"
_SOME_METADATA = {name: METADATA[name] for name in list(METADATA)[:5]}
"""Of 10,000 items, so that they fill a body."""


def _json(method: str, path: str, body: Any = None, **more: Any) -> Iterator[Asked]:
    content = b"" if body is None else json.dumps(body).encode()
    yield Asked(method=method, path=path, body=content, query="amounts=string", **more)


def _page(path: str, *queries: str) -> Iterator[Asked]:
    for query in queries or ("",):
        yield Asked(method="GET", path=path, query=f"{_PAGE}&{query}".rstrip("&"), name=query)


def _movement(action: str, wallet_at: int, **more: Any) -> Largest:
    def largest(world: World) -> Iterator[Asked]:
        wallet = world.wallets[wallet_at]
        yield from _json("POST", f"/wallets/{wallet}/{action}", {**_said("GOLD"), "amount": 1, **more})

    return largest


def _said(asset_code: str | None = None) -> dict[str, Any]:
    asset = {} if asset_code is None else {"asset_code": asset_code}
    return {"reference_id": new_reference(), "metadata": METADATA, **asset}


def _of_hold(action: str, **more: Any) -> Largest:
    return lambda world: _json("POST", f"/holds/{next(world.holds)}/{action}", {**_said(), **more})


def _batches(world: World) -> Iterator[Asked]:
    few, many = world.wallets[:LEGS], world.wallets
    transfers = [transfer_item(many, n) for n in range(GROUP_ITEMS_MAX)]
    large = [transaction_item(few, LEGS, metadata=METADATA) for _ in range(GROUP_LEGS_MAX // LEGS)]
    filled = [transfer_item(many, n, metadata=_SOME_METADATA) for n in range(GROUP_ITEMS_MAX)]
    refused = [*transfers[1:], transfer_item(many, 0, amount=2**60)]
    yield _batch("atomic transfers, one of them refused", "atomic", refused, statuses=(422,))
    for mode in ("atomic", "independent"):
        yield _batch(f"{mode} transfers, dry", mode, transfers, dry_run=True)
        yield _batch(f"{mode} transfers", mode, transfers)
        yield _batch(f"{mode} transfers that are there", mode, transfers)
        yield _batch(f"{mode} transactions of {LEGS} legs", mode, large)
        yield _batch(f"{mode} transfers with metadata", mode, filled)
        transfers, large, filled = (_anew(items) for items in (transfers, large, filled))
    headers = {"authorization": world.client_key}
    yield _batch("atomic transfers of a bound key", "atomic", transfers, headers=headers)
    yield _batch(f"independent transactions of {LEGS} legs of a bound key", "independent", large, headers=headers)
    too_large = [transaction_item(few, LEGS) for _ in range(GROUP_LEGS_MAX // LEGS + 1)]
    yield _batch("too large", "atomic", too_large, statuses=(422,))


def _batch(
    name: str,
    mode: str,
    items: Sequence[Any],
    *,
    statuses: tuple[int, ...] = (200, 201),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Asked:
    body = json.dumps({"mode": mode, "items": items, **more}).encode()
    return Asked(
        method="POST", path="/batches", query="amounts=string", body=body, name=name, statuses=statuses,
        headers=headers or {},
    )  # fmt: skip


def _anew(items: Sequence[Any]) -> list[Any]:
    return [{**item, "reference_id": new_reference()} for item in items]


def _import(world: World) -> Iterator[Asked]:
    transfers = [transfer_item(world.wallets, n) for n in range(IMPORT_LINES)]
    few = [transaction_item(world.wallets[:LEGS], LEGS, metadata=METADATA) for _ in range(IMPORT_LINES // 10)]
    for name, items in (("transfers", transfers), (f"transactions of {LEGS} legs", few)):
        body = b"".join(json.dumps(item).encode() + b"\n" for item in items)
        headers = {"content-type": "application/x-ndjson"}
        yield Asked(method="POST", path="/import", query="amounts=string", body=body, headers=headers, name=name)


def _transaction(world: World) -> Iterator[Asked]:
    item = transaction_item(world.wallets, LEGS, metadata=METADATA)
    item["conditions"] = [{"wallet_id": each["wallet_id"], "min_balance": 0} for each in item["legs"]]
    yield from _json("POST", "/transactions", {name: value for name, value in item.items() if name != "op"})


def _transfer(world: World) -> Iterator[Asked]:
    item = transfer_item(world.wallets, 0, metadata=METADATA)
    yield from _json("POST", "/transfers", {name: value for name, value in item.items() if name != "op"})


def _statement(world: World) -> Iterator[Asked]:
    path = f"/wallets/{world.wallets[0]}/statement"
    yield from _page(path, "format=json", "format=json&axis=effective")
    yield Asked(method="GET", path=path, query="format=csv", name="csv")


def _of_wallet(path: str) -> Largest:
    return lambda world: _page(f"/wallets/{world.wallets[0]}{path}")


LARGEST: Mapping[str, Largest] = {
    "GET /admin-acts": lambda _: _page("/admin-acts"),
    "GET /assets": lambda _: _page("/assets"),
    "POST /assets": lambda _: _json("POST", "/assets", {"code": "LARGEST", "max_supply": 2**62}),
    "GET /assets/{asset_id}": lambda _: _json("GET", "/assets/1"),
    "PATCH /assets/{asset_id}": lambda _: _json("PATCH", "/assets/2", {"draw_order": "main_first"}),
    "POST /batches": _batches,
    "POST /claims": lambda world: _json("POST", "/claims", {**claim_of(world.wallets), "metadata": METADATA}),
    "POST /claims/redeem": lambda world: _json(
        "POST", "/claims/redeem", {**_said(), "code": world.code, "wallet_id": world.wallets[2]}
    ),
    "GET /claims/{claim_id}": lambda world: _json("GET", f"/claims/{world.claim}"),
    "POST /claims/{claim_id}/cancel": lambda world: _json("POST", f"/claims/{world.claim}/cancel", _said()),
    "GET /declines": lambda _: _page("/declines", "reference_id=no"),
    "GET /healthz": lambda _: iter([Asked(method="GET", path="/healthz")]),
    "POST /holds": lambda world: _json(
        "POST", "/holds", {**_said("GOLD"), "wallet_id": world.wallets[1], "amount": ROWS * 500_000}
    ),
    "GET /holds/{hold_id}": lambda world: _json("GET", f"/holds/{next(world.holds)}"),
    "POST /holds/{hold_id}/capture": _of_hold("capture", amount=1, final=True),
    "POST /holds/{hold_id}/extend": _of_hold("extend", expires_in_seconds=86_400 * 30),
    "POST /holds/{hold_id}/increase": _of_hold("increase", amount=1),
    "POST /holds/{hold_id}/void": _of_hold("void"),
    "POST /import": _import,
    "GET /keys": lambda _: _page("/keys"),
    "POST /keys": lambda world: _json(
        "POST", "/keys", {"name": "k", "scopes": ["read"], "wallet_ids": list(world.wallets[:LEGS])}
    ),
    "DELETE /keys/{key_id}": lambda world: _json("DELETE", f"/keys/{next(world.keys)}"),
    "GET /keys/{key_id}": lambda world: _json("GET", f"/keys/{next(world.keys)}"),
    "GET /ledger-entries": lambda _: _page("/ledger-entries", "", f"offset={OFFSET_MAX}"),
    "GET /metrics": lambda _: iter([Asked(method="GET", path="/metrics")]),
    "GET /programmes": lambda _: _page("/programmes"),
    "POST /programmes": lambda _: _json("POST", "/programmes", {"asset_code": "GOLD", "amount": 1, "per": "day"}),
    "GET /programmes/{programme_id}": lambda world: _json("GET", f"/programmes/{world.programme}"),
    "POST /programmes/{programme_id}/end": lambda world: _json("POST", f"/programmes/{world.programme}/end"),
    "GET /programmes/{programme_id}/wallets": lambda world: _page(f"/programmes/{world.programme}/wallets"),
    "DELETE /programmes/{programme_id}/wallets/{wallet_id}": lambda world: _json(
        "DELETE", f"/programmes/{world.programme}/wallets/{world.wallets[0]}"
    ),
    "GET /programmes/{programme_id}/wallets/{wallet_id}": lambda world: _json(
        "GET", f"/programmes/{world.programme}/wallets/{world.wallets[1]}"
    ),
    "POST /programmes/{programme_id}/wallets/{wallet_id}": lambda world: _json(
        "POST", f"/programmes/{world.programme}/wallets/{world.wallets[2]}"
    ),
    "GET /readyz": lambda _: iter([Asked(method="GET", path="/readyz")]),
    "GET /receipts/key": lambda _: _json("GET", "/receipts/key"),
    "GET /sandbox/clock": lambda _: _json("GET", "/sandbox/clock"),
    "POST /sandbox/clock": lambda _: _json("POST", "/sandbox/clock", {"advance_seconds": 7 * 86_400}),
    "GET /transactions": lambda world: _page(
        "/transactions", "type=large", f"wallet_id={world.wallets[0]}&type=large", f"offset={OFFSET_MAX}"
    ),
    "POST /transactions": _transaction,
    "GET /transactions/{transaction_id}": lambda world: _json("GET", f"/transactions/{world.refunded}"),
    "GET /transactions/{transaction_id}/receipt": lambda world: _json(
        "GET", f"/transactions/{world.transaction}/receipt"
    ),
    "POST /transactions/{transaction_id}/refund": lambda world: _json(
        "POST", f"/transactions/{world.transaction}/refund", _said()
    ),
    "POST /transfers": _transfer,
    "GET /users": lambda _: _page("/users"),
    "POST /users": lambda _: _json("POST", "/users", {"name": "u" * 100, "metadata": METADATA}),
    "GET /users/{user_id}": lambda world: _json("GET", f"/users/{world.user}"),
    "GET /users/{user_id}/wallets": lambda world: _page(f"/users/{world.user}/wallets"),
    "GET /wallets": lambda world: _page("/wallets", f"user_id={world.user}", "label=w"),
    "POST /wallets": lambda _: _json("POST", "/wallets", {"asset_code": "GOLD", "metadata": METADATA}),
    "GET /wallets/{wallet_id}": lambda world: _json("GET", f"/wallets/{world.wallets[0]}"),
    "PATCH /wallets/{wallet_id}": lambda world: _json("PATCH", f"/wallets/{world.wallets[9]}", {"metadata": METADATA}),
    "GET /wallets/{wallet_id}/balance": lambda world: _json("GET", f"/wallets/{world.wallets[0]}/balance"),
    "POST /wallets/{wallet_id}/bonus": _movement("bonus", 1),
    "POST /wallets/{wallet_id}/close": lambda world: _json(
        "POST", f"/wallets/{world.wallets[0]}/close", statuses=(409,)
    ),
    "GET /wallets/{wallet_id}/entries": _of_wallet("/entries"),
    "GET /wallets/{wallet_id}/holds": _of_wallet("/holds"),
    "GET /wallets/{wallet_id}/lots": lambda world: _page(f"/wallets/{world.wallets[1]}/lots"),
    "POST /wallets/{wallet_id}/merge-into/{target_wallet_id}": lambda world: _json(
        "POST", f"/wallets/{world.wallets[0]}/merge-into/{world.wallets[1]}", _said()
    ),
    "POST /wallets/{wallet_id}/reopen": lambda world: _json("POST", f"/wallets/{world.wallets[9]}/reopen"),
    "POST /wallets/{wallet_id}/spend": _movement("spend", 1, amount=ROWS * 400_000),
    "GET /wallets/{wallet_id}/statement": _statement,
    "POST /wallets/{wallet_id}/topup": _movement("topup", 1),
}
"""By method and path, as in the OpenAPI document."""
LAST = ("POST /wallets/{wallet_id}/merge-into/{target_wallet_id}", "POST /sandbox/clock")
"""Asked after all others, which they would leave with less."""
