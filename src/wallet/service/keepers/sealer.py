"""The keeper of the audit chain: the leader links stable batches to it, some at each round.

Money does not depend on it. The batches that are not sealed yet cannot be proved yet, so their number is measured.
"""

import logging

from wallet.errors import StorageUnavailable
from wallet.ledger.audit import Salts
from wallet.storage.chain.leaves import read_salts
from wallet.storage.chain.seal import Lag, measure_lag, seal
from wallet.storage.connections.shard import Shard

NO_LAG = Lag(batches=0, seconds=0.0)

_log = logging.getLogger(__name__)


class Sealer:
    """One leader's part in the chain. lag: that after the last round."""

    def __init__(self) -> None:
        self.begin_term()

    def begin_term(self) -> None:
        """Forget how far the chain is."""
        self.lag = NO_LAG
        self._salts: Salts | None = None
        self._sealed_seq = -1
        self._is_trouble_known = False

    async def run_round(self, shard: Shard, *, watermark_seq: int, is_idle: bool) -> bool:
        """Seal some stable batches, and answer whether there are more. is_idle: nothing was committed since the
        watermark was moved.

        Raises StorageUnavailable. Other errors are logged, and the lag then grows: the other keepers do not depend on
        this.
        """
        if is_idle and watermark_seq == self._sealed_seq and not self.lag.batches:
            return False
        more = False
        try:
            if watermark_seq != self._sealed_seq:
                if self._salts is None:
                    self._salts = await read_salts(shard.connection)
                more = await seal(shard, salts=self._salts)
                self._sealed_seq = -1 if more else watermark_seq
            self._is_trouble_known = False
        except StorageUnavailable:
            raise
        except Exception as error:
            if not self._is_trouble_known:
                _log.warning("the audit chain is not sealed: %s", error, exc_info=error)
                self._is_trouble_known = True
        self.lag = await measure_lag(shard)
        return more
