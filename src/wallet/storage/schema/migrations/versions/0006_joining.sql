-- Lots that are joined by what a transfer carries, and bounds on what a wallet may be burdened with (docs/adr/0029).

-- What has joined a lot counts with what is left of it, so that may be more than it was opened with.
ALTER TABLE lots DROP CONSTRAINT lots_amounts_ck;
ALTER TABLE lots ADD CONSTRAINT lots_amounts_ck CHECK (amount > 0 AND held >= 0 AND remaining >= held) NOT VALID;
ALTER TABLE lots VALIDATE CONSTRAINT lots_amounts_ck;

-- Those captured at their expiry are found among all that are aimed at a wallet, however many are not.
DROP INDEX holds_target_ix;
CREATE INDEX holds_target_ix ON holds (shard, target_wallet_id, capture_at_expiry, expires_at)
    WHERE status = 'open' AND target_wallet_id IS NOT NULL;
