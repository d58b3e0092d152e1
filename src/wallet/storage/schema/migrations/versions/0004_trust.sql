-- Who may ask, what was done by whom, and proof that history is what it was.

-- Every batch comes by here before it takes anything else. So those under way are finished first, and none of the
-- others holds what this waits for. Money then waits for the indexes, which may be there already (docs/operations.md).
LOCK TABLE wallets IN EXCLUSIVE MODE;

-- A batch's transactions lie together: they are found by where they are.
CREATE INDEX IF NOT EXISTS transactions_seq_ix
    ON transactions USING brin (seq) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX IF NOT EXISTS wallet_events_seq_ix
    ON wallet_events USING brin (seq) WITH (pages_per_range = 16, autosummarize = on);

-- A leaf of the chain has all that its transaction wrote.
CREATE INDEX IF NOT EXISTS hold_steps_transaction_ix ON hold_steps (transaction_id);

-- What of a wallet's lots falls due first is found without reading them all. Whoever reads them waits from here on.
CREATE INDEX IF NOT EXISTS lots_live_by_expiry_ix ON lots (shard, wallet_id, expires_at) WHERE remaining > 0;
DROP INDEX lots_live_ix;
ALTER INDEX lots_live_by_expiry_ix RENAME TO lots_live_ix;

-- The root of the Merkle tree over what a batch wrote (docs/adr/0018), and eight bytes of each leaf, in order, by which
-- a row that was changed is named. Null: written before there was a chain; its seal covers it all the same.
ALTER TABLE batches ADD COLUMN root bytea;
ALTER TABLE batches ADD COLUMN marks bytea;
ALTER TABLE batches ADD CONSTRAINT batches_root_ck CHECK (octet_length(root) = 32);

-- The chain: one link per settled batch, in order of seq, without gaps in height. A link's hash covers the one before.
CREATE TABLE seals (
    height bigint NOT NULL,
    seq bigint NOT NULL,
    shard smallint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT seals_pk PRIMARY KEY (shard, height),
    CONSTRAINT seals_seq_uq UNIQUE (shard, seq),
    CONSTRAINT seals_height_ck CHECK (height > 0),
    CONSTRAINT seals_hash_ck CHECK (octet_length(hash) = 32)
);

-- What may be done with a key. The key itself is shown once and not kept.
CREATE TABLE api_keys (
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    -- To within a minute.
    last_used_at timestamptz,
    -- Null: as many as the service's settings allow.
    requests_per_second integer,
    id uuid NOT NULL,
    -- What it is bound to, if anything: a user's wallets, or these wallets.
    user_id uuid,
    wallet_ids uuid[],
    name text NOT NULL,
    -- The first part of the key, by which it is found and talked about.
    prefix text COLLATE "C" NOT NULL,
    -- SHA-256 of the whole key, which is random and long.
    hash bytea NOT NULL,
    scopes text[] COLLATE "C" NOT NULL,
    -- Of the references that come with it. See transactions.
    origin text COLLATE "C" NOT NULL,
    CONSTRAINT api_keys_pk PRIMARY KEY (id),
    CONSTRAINT api_keys_prefix_uq UNIQUE (prefix),
    CONSTRAINT api_keys_hash_ck CHECK (octet_length(hash) = 32),
    CONSTRAINT api_keys_requests_per_second_ck CHECK (requests_per_second > 0),
    CONSTRAINT api_keys_scopes_ck CHECK (
        cardinality(scopes) > 0
        AND scopes <@ ARRAY['read', 'spend', 'issue', 'refund', 'refund:force', 'admin']
    ),
    CONSTRAINT api_keys_binding_ck CHECK (user_id IS NULL OR wallet_ids IS NULL),
    -- Moving money is not minting it: what is bound can only read and spend, whoever wrote the row.
    CONSTRAINT api_keys_bound_ck CHECK (
        (user_id IS NULL AND wallet_ids IS NULL) OR scopes <@ ARRAY['read', 'spend']
    ),
    CONSTRAINT api_keys_origin_ck CHECK (
        CASE WHEN user_id IS NULL AND wallet_ids IS NULL THEN origin = 'api' ELSE origin NOT IN ('api', 'service') END
    )
);

CREATE INDEX api_keys_revoked_ix ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_user_ix ON api_keys (user_id) WHERE user_id IS NOT NULL;

-- Administrative acts: each is written before it is done, and what came of it after. An act without an answer was cut
-- off, and may have been done.
CREATE TABLE admin_acts (
    asked_at timestamptz NOT NULL,
    id uuid NOT NULL,
    -- Null: not by a key, but on the command line or in development mode.
    key_id uuid,
    -- The key's name then, or `command line`, or `development`.
    actor text NOT NULL,
    act text COLLATE "C" NOT NULL,
    -- What it was done to, as text: most often an id.
    subject text,
    -- Canonical JSON text of what was asked for. Never a secret.
    asked text,
    request_id text COLLATE "C",
    CONSTRAINT admin_acts_pk PRIMARY KEY (id)
);

CREATE TABLE admin_answers (
    answered_at timestamptz NOT NULL,
    act_id uuid NOT NULL,
    -- HTTP's status; on the command line 200 or what would be its like.
    status smallint NOT NULL,
    CONSTRAINT admin_answers_pk PRIMARY KEY (act_id)
);

-- Which grants the service's role was given, by the digest of grants.sql: `wallet migrate` gives them again when it
-- has changed.
CREATE TABLE role_grants (
    granted_at timestamptz NOT NULL,
    role text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    CONSTRAINT role_grants_pk PRIMARY KEY (role)
);

-- Only an owner may analyse a table, and the service's role is none. Runs as the owner, and can do nothing else.
CREATE FUNCTION analyze_outgrown(ledger_schema text) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    outgrown regclass;
BEGIN
    -- The server looks once a minute. In a ledger that was empty a minute ago, a plan that was kept reads whole tables.
    FOR outgrown IN
        SELECT s.relid
          FROM pg_stat_user_tables AS s
          JOIN pg_class AS c ON c.oid = s.relid
         WHERE s.schemaname = ledger_schema
           AND s.n_live_tup > 1000 + 10 * greatest(c.reltuples, 0)
           AND pg_has_role(current_user, c.relowner, 'USAGE')
    LOOP
        EXECUTE format('ANALYZE %s', outgrown);
        RETURN NEXT outgrown::text;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION analyze_outgrown(text) FROM PUBLIC;  -- noqa: CP02

CREATE TRIGGER seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON seals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER admin_acts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON admin_acts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER admin_answers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON admin_answers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER api_keys_not_deleted BEFORE DELETE OR TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE seals ENABLE ALWAYS TRIGGER seals_append_only;
ALTER TABLE admin_acts ENABLE ALWAYS TRIGGER admin_acts_append_only;
ALTER TABLE admin_answers ENABLE ALWAYS TRIGGER admin_answers_append_only;
ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_not_deleted;

-- What makes the hash of one party's side say nothing of another's, and the seed of the key that signs receipts.
INSERT INTO service_secrets (name, secret)
SELECT name, sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))
  FROM unnest(ARRAY['audit_salt', 'receipts']) AS name;
