"""The document against the service: all that it allows is served, all else is refused, and answers are as it says.

Every check of the tool is on. The module hooks.py tells it about this service, and which refusals are no finding.
"""

import os
from pathlib import Path

from tests.openapi.asking import ask_by_document
from wallet.storage.verify.ledger import verify

EXAMPLES = int(os.environ.get("WALLET_DOCUMENT_EXAMPLES", "3"))
SEED = int(os.environ.get("WALLET_DOCUMENT_SEED", "1"))


async def test_the_service_is_as_its_document_says(database_url: str, tmp_path: Path) -> None:
    asked = ask_by_document(database_url, tmp_path, examples=EXAMPLES, seed=SEED)
    assert asked.is_clean, asked.said
    assert asked.operations_left_out == 0
    assert asked.count("5") == 0
    assert asked.count("4", meant_to_be="negative") > 1_000, "the wrong requests are there"
    report = await verify(database_url, on_progress=lambda _progress: None)
    assert report.is_sound, report.findings
