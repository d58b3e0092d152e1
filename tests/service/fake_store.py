"""A store over dicts: everything that is decided is decided by the ledger."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tests.storage.ledgers import Ledger
from wallet.ledger.apply import apply_batch
from wallet.ledger.batch import Context
from wallet.ledger.model import Posted, ReferenceKey
from wallet.ledger.outcomes import Outcome
from wallet.ledger.requests import Request


class FakeStore:
    """What the committer sees of storage.writer.BatchWriter, without a database."""

    def __init__(self, ledger: Ledger) -> None:
        self.wallets = {state.id: state for state in ledger.states()}
        self.assets = {ledger.asset.code: ledger.asset}
        self.known: dict[ReferenceKey, Posted] = {}

    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        by_id = {asset.id: asset for asset in self.assets.values()}
        context = Context(self.wallets, self.assets, self.known, assets_by_id=by_id)
        decision = apply_batch(batch, context, datetime.now(UTC))
        self.wallets.update(decision.states)
        self.known.update({(posted.origin, posted.reference_id): posted for posted in decision.posted})
        return decision.outcomes

    async def close(self) -> None:
        """Nothing is open."""
