"""The rules for attaching a wallet to a programme, with every reason for a refusal."""

from uuid import UUID

import pytest

from wallet.ledger.model import WalletKind
from wallet.ledger.outcomes import RefusalCode
from wallet.ledger.rules.programmes import Candidate, first_refusal_attach

ALICE, BOB = UUID(int=1), UUID(int=2)
OPEN = Candidate(asset_id=7, kind=WalletKind.USER, is_closed=False, merged_into=None)


def code_of(wallet: Candidate | None) -> RefusalCode | None:
    refused = first_refusal_attach(ALICE, wallet, asset_id=7, asset_code="GOLD")
    return None if refused is None else refused.code


@pytest.mark.parametrize(
    ("wallet", "code"),
    [
        (OPEN, None),
        (None, RefusalCode.WALLET_NOT_FOUND),
        (OPEN._replace(asset_id=8), RefusalCode.ASSET_MISMATCH),
        (OPEN._replace(kind=WalletKind.REVENUE), RefusalCode.SYSTEM_WALLET),
        (OPEN._replace(is_closed=True, merged_into=BOB), RefusalCode.WALLET_MERGED),
        (OPEN._replace(is_closed=True), RefusalCode.WALLET_CLOSED),
    ],
)
def test_an_open_users_wallet_of_the_asset_is_attached_and_no_other(
    wallet: Candidate | None, code: RefusalCode | None
) -> None:
    assert code_of(wallet) is code


def test_of_several_reasons_the_first_in_order_of_codes_is_the_answer() -> None:
    reasons = {"asset_id": 8, "kind": WalletKind.TREASURY, "merged_into": BOB, "is_closed": True}
    codes = []
    while reasons:
        codes.append(code_of(OPEN._replace(**reasons)))
        reasons.pop(next(iter(reasons)))
    assert codes == [
        RefusalCode.ASSET_MISMATCH, RefusalCode.SYSTEM_WALLET, RefusalCode.WALLET_MERGED, RefusalCode.WALLET_CLOSED,
    ]  # fmt: skip
