-- What lists of transactions, users and wallets are filtered by, at no cost to a movement without metadata; and what
-- wallets and assets were made with, so that the same request again is told from another one after a change.

-- The members of metadata that can be filtered by: those at the top that are text, numbers or booleans, as text, up to
-- 255 characters. owner_kind: t transaction, u user, w wallet. Kept by trigger, in the order that lists are read in.
CREATE TABLE metadata_members (
    shard smallint NOT NULL,
    owner_kind "char" NOT NULL,
    owner_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    CONSTRAINT metadata_members_pk PRIMARY KEY (shard, owner_kind, key, value, owner_id),
    CONSTRAINT metadata_members_owner_kind_ck CHECK (owner_kind IN ('t', 'u', 'w'))
);

-- json, not jsonb: a number is filtered by as it was written.
CREATE FUNCTION filterable_members(metadata text) RETURNS TABLE (key text, value text)
LANGUAGE sql IMMUTABLE AS $$
    SELECT member.key, member.value #>> '{}'
      FROM json_each(metadata::json) AS member
     WHERE json_typeof(member.value) IN ('string', 'number', 'boolean')
       AND char_length(member.key) <= 255
       AND char_length(member.value #>> '{}') <= 255
$$;

-- Decides nothing: what a row's metadata says is written down once more, where a filter finds it.
CREATE FUNCTION keep_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM metadata_members AS kept
         USING filterable_members(OLD.metadata) AS gone
         WHERE kept.shard = OLD.shard
           AND kept.owner_kind = TG_ARGV[0]::"char"
           AND kept.key = gone.key
           AND kept.value = gone.value
           AND kept.owner_id = OLD.id;
    END IF;
    INSERT INTO metadata_members (shard, owner_kind, owner_id, key, value)
    SELECT NEW.shard, TG_ARGV[0]::"char", NEW.id, member.key, member.value
      FROM filterable_members(NEW.metadata) AS member
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

-- A row without metadata fails the condition, and no function is called.
CREATE TRIGGER transactions_members_kept AFTER INSERT ON transactions
    FOR EACH ROW WHEN (new.metadata <> '{}') EXECUTE FUNCTION keep_members('t');
CREATE TRIGGER users_members_kept AFTER INSERT ON users
    FOR EACH ROW WHEN (new.metadata <> '{}') EXECUTE FUNCTION keep_members('u');
CREATE TRIGGER wallets_members_kept AFTER INSERT ON wallets
    FOR EACH ROW WHEN (new.metadata <> '{}') EXECUTE FUNCTION keep_members('w');
-- Movements do not set the column, so this is not theirs to pay for either.
CREATE TRIGGER wallets_members_changed AFTER UPDATE OF metadata ON wallets
    FOR EACH ROW WHEN (old.metadata IS DISTINCT FROM new.metadata) EXECUTE FUNCTION keep_members('w');

INSERT INTO metadata_members (shard, owner_kind, owner_id, key, value)
SELECT t.shard, 't', t.id, member.key, member.value
  FROM transactions AS t, filterable_members(t.metadata) AS member
 WHERE t.metadata <> '{}';

-- The four types that most transactions are of are found along the primary key instead.
CREATE INDEX transactions_type_ix ON transactions (shard, type, id)
    WHERE type NOT IN ('topup', 'bonus', 'spend', 'transfer');

DROP INDEX wallets_user_ix;
CREATE INDEX wallets_user_ix ON wallets (shard, user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX wallets_label_ix ON wallets (shard, label, id) WHERE label IS NOT NULL;
CREATE INDEX users_name_ix ON users (shard, name, id);

-- As a wallet with an id of the client's was made, where it can be changed later.
CREATE TABLE wallet_creations (
    shard smallint NOT NULL,
    wallet_id uuid NOT NULL,
    label text,
    metadata text,
    CONSTRAINT wallet_creations_pk PRIMARY KEY (shard, wallet_id)
);

-- Null: made with what a column is by default.
ALTER TABLE assets
    ADD COLUMN made_grace_seconds integer,
    ADD COLUMN made_draw_order text COLLATE "C",
    ADD COLUMN made_on_refund_to_expired text COLLATE "C";
