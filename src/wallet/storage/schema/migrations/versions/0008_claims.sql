-- Claims: holds whose uses go to the holders of a code (docs/adr/0033).

-- None of it ever changes. The id is the hold's.
CREATE TABLE claims (
    -- Of each use.
    amount bigint NOT NULL,
    created_at timestamptz NOT NULL,
    uses integer NOT NULL,
    shard smallint NOT NULL,
    -- No user redeems it twice.
    once_per_user boolean NOT NULL,
    id uuid NOT NULL,
    -- SHA-256 of the code, which is random and long. The code is shown once and not kept.
    code_hash bytea NOT NULL,
    CONSTRAINT claims_pk PRIMARY KEY (shard, id),
    CONSTRAINT claims_code_hash_uq UNIQUE (shard, code_hash),
    CONSTRAINT claims_amount_ck CHECK (amount > 0),
    CONSTRAINT claims_uses_ck CHECK (uses BETWEEN 1 AND 10000),
    CONSTRAINT claims_code_hash_ck CHECK (octet_length(code_hash) = 32)
);

-- The users that have redeemed a claim which each user may redeem once, and by which transaction.
CREATE TABLE claim_redemptions (
    shard smallint NOT NULL,
    claim_id uuid NOT NULL,
    user_id uuid NOT NULL,
    transaction_id uuid NOT NULL,
    CONSTRAINT claim_redemptions_pk PRIMARY KEY (shard, claim_id, user_id)
);

CREATE TRIGGER claims_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON claims
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER claim_redemptions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON claim_redemptions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE claims ENABLE ALWAYS TRIGGER claims_append_only;
ALTER TABLE claim_redemptions ENABLE ALWAYS TRIGGER claim_redemptions_append_only;
