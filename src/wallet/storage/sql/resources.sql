-- Making users, wallets and assets. An id or code that is taken makes no error: nothing is inserted, and the caller
-- reads, in a statement of its own that sees what it waited for, who has it.

-- name: begin
-- why: the isolation level is said, not inherited: read committed lets a statement see what the one before waited for
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;  -- noqa: PRS

-- name: rollback
ROLLBACK;

-- name: insert_user
-- in:  $1 shard smallint, $2 id uuid, $3 name text
-- out: one row if it was inserted
INSERT INTO users (created_at, shard, id, name)
VALUES (clock_timestamp(), $1, $2, $3)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: find_asset_id
-- in:  $1 code text or null, $2 id integer or null
-- out: the id of the asset that all given describe, or no row
SELECT id
  FROM assets
 WHERE ($1::text IS NULL OR code = $1::text)
   AND ($2::integer IS NULL OR id = $2::integer);

-- name: insert_wallet
-- in:  $1 shard smallint, $2 id uuid, $3 asset integer, $4 user uuid or null, $5 label text or null
-- out: one row if it was inserted
INSERT INTO wallets (created_at, asset_id, shard, locked, id, user_id, kind, label)
VALUES (clock_timestamp(), $3, $1, true, $2, $4, 'user', $5)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: lock_assets
-- out: nothing; held until the end of the database transaction (0x617373657473, "assets")
-- why: assets are made rarely, and one after another there is nothing to race for: not the code, not the id, not
--      the sequence that an explicit id moves on
SELECT pg_advisory_xact_lock(107148485162099);

-- name: find_assets_in_the_way
-- in:  $1 code text, $2 id integer or null
-- out: assets with this code or id
SELECT id, code, scale, max_supply, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id
  FROM assets
 WHERE code = $1 OR id = $2::integer;

-- name: insert_asset
-- in:  $1 shard smallint, $2 id integer or null, $3 code, $4 scale, $5 max_supply bigint or null,
--      ids of its wallets: $6 treasury, $7 revenue, $8 breakage
-- out: the id (null: the asset was not inserted) and how many of its three wallets were
-- why: an asset exists with its system wallets or not at all. A capped treasury is locked, because its balance
--      decides; it may go below zero by as much as the cap, and is locked last, because every top-up needs it
WITH made AS (
    INSERT INTO assets (
        id, scale, code, max_supply, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id, created_at
    )
    VALUES (
        coalesce($2::integer, nextval(pg_get_serial_sequence('assets', 'id'))), $4, $3, $5, $6, $7, $8,
        clock_timestamp()
    )
    ON CONFLICT DO NOTHING
    RETURNING id, created_at
),
opened AS (
    INSERT INTO wallets (overdraft_limit, created_at, asset_id, shard, locked, hot, id, kind)
    SELECT CASE WHEN w.capped THEN $5 ELSE 0 END, made.created_at, made.id, $1, w.capped, w.capped, w.id, w.kind
      FROM made,
           (VALUES ($6::uuid, 'treasury', $5::bigint IS NOT NULL), ($7::uuid, 'revenue', false),
                   ($8::uuid, 'breakage', false)) AS w (id, kind, capped)
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT (SELECT id FROM made) AS id,
       (SELECT count(*) FROM opened) AS wallets;

-- name: move_asset_ids_on
-- why: after an explicit id, the sequence must not come to it again
SELECT setval(pg_get_serial_sequence('assets', 'id'), (SELECT max(id) FROM assets));
