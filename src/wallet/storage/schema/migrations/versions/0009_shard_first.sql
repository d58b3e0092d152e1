-- Every key of a table of the ledger begins with the shard, and so do the indexes of what is due (docs/adr/0036).
ALTER TABLE declines DROP CONSTRAINT declines_pk, ADD CONSTRAINT declines_pk PRIMARY KEY (shard, id);

DROP INDEX wallets_due_ix;
CREATE INDEX wallets_due_ix ON wallets (shard, next_due_at) WHERE next_due_at IS NOT NULL;
DROP INDEX programme_wallets_due_ix;
CREATE INDEX programme_wallets_due_ix ON programme_wallets (shard, next_at) WHERE next_at IS NOT NULL;

-- No event of that kind was ever written: a merge is one event, of the wallet that ends.
ALTER TABLE wallet_events DROP CONSTRAINT wallet_events_kind_ck;
ALTER TABLE wallet_events ADD CONSTRAINT wallet_events_kind_ck
    CHECK (kind IN ('change', 'close', 'reopen', 'merge_out')) NOT VALID;
ALTER TABLE wallet_events VALIDATE CONSTRAINT wallet_events_kind_ck;
