-- Holds, refunds, lots, limits, wallet events, programmes, effective times and the sandbox clock.

ALTER TABLE assets
    ADD COLUMN grace_seconds integer NOT NULL DEFAULT 2592000,
    ADD COLUMN draw_order text COLLATE "C" NOT NULL DEFAULT 'expiring_first',
    ADD COLUMN on_refund_to_expired text COLLATE "C" NOT NULL DEFAULT 'grace',
    ADD CONSTRAINT assets_draw_order_ck CHECK (draw_order IN ('expiring_first', 'main_first')),
    ADD CONSTRAINT assets_on_refund_to_expired_ck CHECK (on_refund_to_expired IN ('grace', 'forfeit', 'to_main')),
    ADD CONSTRAINT assets_grace_seconds_ck CHECK (grace_seconds >= 1);

ALTER TABLE wallets
    ADD COLUMN lot_balance bigint NOT NULL DEFAULT 0,
    ADD COLUMN limit_day bigint,
    ADD COLUMN limit_month bigint,
    DROP CONSTRAINT wallets_available_ck,
    ADD CONSTRAINT wallets_lot_balance_ck CHECK (lot_balance >= 0),
    ADD CONSTRAINT wallets_limit_day_ck CHECK (limit_day >= 0),
    ADD CONSTRAINT wallets_limit_month_ck CHECK (limit_month >= 0),
    ADD CONSTRAINT wallets_merged_ck CHECK (merged_into IS NULL OR closed_at IS NOT NULL);

CREATE INDEX wallets_due_ix ON wallets (next_due_at) WHERE next_due_at IS NOT NULL;

-- Which batches stand out of the order of time, where a balance is asked for at an instant. A few bytes per thousands.
CREATE INDEX batches_created_ix ON batches USING brin (seq, created_at)
    WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX wallets_merged_ix ON wallets (shard, merged_into) WHERE merged_into IS NOT NULL;

CREATE TABLE holds (
    amount bigint NOT NULL,
    captured bigint NOT NULL DEFAULT 0,
    released bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    asset_id integer NOT NULL,
    shard smallint NOT NULL,
    capture_at_expiry boolean NOT NULL,
    id uuid NOT NULL,
    wallet_id uuid NOT NULL,
    target_wallet_id uuid,
    status text COLLATE "C" NOT NULL,
    slice_lots uuid[] NOT NULL,
    slice_amounts bigint[] NOT NULL,
    CONSTRAINT holds_pk PRIMARY KEY (shard, id),
    CONSTRAINT holds_status_ck CHECK (status IN ('open', 'captured', 'voided', 'expired')),
    CONSTRAINT holds_amounts_ck CHECK (captured >= 0 AND released >= 0 AND captured + released <= amount),
    CONSTRAINT holds_open_ck CHECK ((status = 'open') = (captured + released < amount)),
    CONSTRAINT holds_slices_ck CHECK (cardinality(slice_lots) = cardinality(slice_amounts))
);

CREATE INDEX holds_wallet_ix ON holds (shard, wallet_id, id);
CREATE INDEX holds_open_ix ON holds (shard, wallet_id, expires_at) WHERE status = 'open';
CREATE INDEX holds_target_ix ON holds (shard, target_wallet_id, expires_at)
    WHERE status = 'open' AND target_wallet_id IS NOT NULL;

CREATE TABLE hold_steps (
    position bigint NOT NULL,
    held_change bigint NOT NULL,
    held_after bigint NOT NULL,
    captured bigint NOT NULL,
    released bigint NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    shard smallint NOT NULL,
    wallet_id uuid NOT NULL,
    hold_id uuid NOT NULL,
    transaction_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    CONSTRAINT hold_steps_pk PRIMARY KEY (shard, wallet_id, position),
    CONSTRAINT hold_steps_kind_ck CHECK (
        kind IN ('place', 'increase', 'extend', 'capture', 'void', 'expire', 'move_out', 'move_in')
    ),
    CONSTRAINT hold_steps_held_ck CHECK (held_after >= 0)
);

CREATE INDEX hold_steps_hold_ix ON hold_steps (shard, hold_id);

CREATE TABLE lots (
    amount bigint NOT NULL,
    remaining bigint NOT NULL,
    held bigint NOT NULL DEFAULT 0,
    opened_at timestamptz NOT NULL,
    expires_at timestamptz,
    asset_id integer NOT NULL,
    expiries integer NOT NULL DEFAULT 0,
    shard smallint NOT NULL,
    priority smallint NOT NULL,
    id uuid NOT NULL,
    wallet_id uuid NOT NULL,
    opened_by uuid NOT NULL,
    programme_id uuid,
    category text COLLATE "C" NOT NULL,
    CONSTRAINT lots_pk PRIMARY KEY (shard, id),
    CONSTRAINT lots_category_ck CHECK (category IN ('paid', 'promotional')),
    CONSTRAINT lots_amounts_ck CHECK (amount > 0 AND held >= 0 AND remaining BETWEEN held AND amount)
);

CREATE INDEX lots_wallet_ix ON lots (shard, wallet_id, id);
CREATE INDEX lots_live_ix ON lots (shard, wallet_id) WHERE remaining > 0;
CREATE INDEX lots_opened_by_ix ON lots (shard, opened_by);

CREATE TABLE lot_moves (
    change bigint NOT NULL,
    held_change bigint NOT NULL,
    created_at timestamptz NOT NULL,
    ordinal integer NOT NULL,
    shard smallint NOT NULL,
    lot_id uuid NOT NULL,
    wallet_id uuid NOT NULL,
    transaction_id uuid NOT NULL,
    CONSTRAINT lot_moves_pk PRIMARY KEY (shard, transaction_id, ordinal)
);

CREATE INDEX lot_moves_lot_ix ON lot_moves (shard, lot_id);

-- What of an original was refunded so far. The row is the mutex between its refunds, for an original may have moved
-- nothing but wallets that are never locked. Refunds of a general transaction have no one amount: they are counted.
CREATE TABLE refund_states (
    refunded bigint NOT NULL DEFAULT 0,
    refunds integer NOT NULL DEFAULT 0,
    shard smallint NOT NULL,
    original_id uuid NOT NULL,
    CONSTRAINT refund_states_pk PRIMARY KEY (shard, original_id),
    CONSTRAINT refund_states_refunded_ck CHECK (refunded >= 0 AND refunds >= 0)
);

CREATE INDEX transactions_refund_ix ON transactions (shard, refund_of) WHERE refund_of IS NOT NULL;
CREATE INDEX transactions_hold_ix ON transactions (shard, hold_id) WHERE hold_id IS NOT NULL;

-- A change of what a wallet may do. `id` is the request's: a second look at the same try finds it by that.
CREATE TABLE wallet_events (
    seq bigint NOT NULL,
    position bigint NOT NULL,
    created_at timestamptz NOT NULL,
    shard smallint NOT NULL,
    wallet_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    -- Canonical JSON text: field names and new values.
    changes text NOT NULL,
    CONSTRAINT wallet_events_pk PRIMARY KEY (shard, wallet_id, position),
    CONSTRAINT wallet_events_id_uq UNIQUE (shard, id, wallet_id),
    CONSTRAINT wallet_events_kind_ck CHECK (kind IN ('change', 'close', 'reopen', 'merge_out', 'merge_in'))
);

-- Entries whose effective time is not the time they were posted at, for balances on the effective axis.
CREATE TABLE backdated_entries (
    effective_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    position bigint NOT NULL,
    change bigint NOT NULL,
    shard smallint NOT NULL,
    wallet_id uuid NOT NULL,
    transaction_id uuid NOT NULL,
    CONSTRAINT backdated_entries_pk PRIMARY KEY (shard, wallet_id, effective_at, position),
    CONSTRAINT backdated_entries_effective_ck CHECK (effective_at < created_at)
);

-- By how long ago they took effect, in powers of two: those that span an instant are few of each length, next to it.
CREATE FUNCTION lag_class(effective_at timestamptz, created_at timestamptz) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT ceil(ln(extract(epoch FROM created_at - effective_at)::float8 * 1000000) / ln(2::float8))::integer
$$;
CREATE INDEX backdated_entries_lag_ix ON backdated_entries (
    shard, wallet_id, lag_class(effective_at, created_at), effective_at
);

-- Credit that comes again every period.
CREATE TABLE programmes (
    amount bigint NOT NULL,
    rollover_max bigint,
    created_at timestamptz NOT NULL,
    ends_at timestamptz,
    expires_in_seconds integer,
    asset_id integer NOT NULL,
    shard smallint NOT NULL,
    priority smallint NOT NULL,
    id uuid NOT NULL,
    per text COLLATE "C" NOT NULL,
    category text COLLATE "C" NOT NULL,
    CONSTRAINT programmes_pk PRIMARY KEY (shard, id),
    CONSTRAINT programmes_amount_ck CHECK (amount > 0),
    CONSTRAINT programmes_rollover_max_ck CHECK (rollover_max >= 0),
    CONSTRAINT programmes_expires_in_seconds_ck CHECK (expires_in_seconds > 0),
    CONSTRAINT programmes_per_ck CHECK (per IN ('day', 'week', 'month')),
    CONSTRAINT programmes_category_ck CHECK (category IN ('paid', 'promotional'))
);

-- Period k starts k times `per` after the anchor. next_at: when period next_period starts; null: there is none.
CREATE TABLE programme_wallets (
    anchor_at timestamptz NOT NULL,
    next_at timestamptz,
    ended_at timestamptz,
    next_period integer NOT NULL DEFAULT 0,
    shard smallint NOT NULL,
    programme_id uuid NOT NULL,
    wallet_id uuid NOT NULL,
    CONSTRAINT programme_wallets_pk PRIMARY KEY (shard, programme_id, wallet_id),
    CONSTRAINT programme_wallets_ended_ck CHECK (ended_at IS NULL OR next_at IS NULL)
);

CREATE INDEX programme_wallets_due_ix ON programme_wallets (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX programme_wallets_wallet_ix ON programme_wallets (shard, wallet_id);

-- How far the ledger's clock is ahead of the database's. Zero but in a sandbox; forward only.
CREATE TABLE sandbox_clock (
    advanced interval NOT NULL,
    is_only boolean NOT NULL DEFAULT true,
    CONSTRAINT sandbox_clock_pk PRIMARY KEY (is_only),
    CONSTRAINT sandbox_clock_only_ck CHECK (is_only),
    CONSTRAINT sandbox_clock_advanced_ck CHECK (advanced >= interval '0')
);
INSERT INTO sandbox_clock (advanced) VALUES (interval '0');

-- The ledger's clock. Every decision and every expiry goes by it, and by no other.
CREATE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT clock_timestamp() + advanced FROM sandbox_clock
$$;

CREATE TRIGGER hold_steps_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON hold_steps
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER lot_moves_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON lot_moves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER wallet_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON wallet_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER backdated_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON backdated_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER holds_not_deleted BEFORE DELETE OR TRUNCATE ON holds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER lots_not_deleted BEFORE DELETE OR TRUNCATE ON lots
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refund_states_not_deleted BEFORE DELETE OR TRUNCATE ON refund_states
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE hold_steps ENABLE ALWAYS TRIGGER hold_steps_append_only;
ALTER TABLE lot_moves ENABLE ALWAYS TRIGGER lot_moves_append_only;
ALTER TABLE wallet_events ENABLE ALWAYS TRIGGER wallet_events_append_only;
ALTER TABLE backdated_entries ENABLE ALWAYS TRIGGER backdated_entries_append_only;
ALTER TABLE holds ENABLE ALWAYS TRIGGER holds_not_deleted;
ALTER TABLE lots ENABLE ALWAYS TRIGGER lots_not_deleted;
ALTER TABLE refund_states ENABLE ALWAYS TRIGGER refund_states_not_deleted;
