-- Assets and their system wallets. These columns are fixed at creation, so they may be cached for ever.

-- name: load_by_code
-- in:  $1 codes text[]
-- out: the assets with these codes
SELECT id, code, scale, max_supply, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id
  FROM assets
 WHERE code = ANY($1::text[]);

-- name: load_by_id
-- in:  $1 ids integer[]
-- out: the assets with these ids
SELECT id, code, scale, max_supply, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id
  FROM assets
 WHERE id = ANY($1::integer[]);

-- name: load_by_wallet
-- in:  $1 shard smallint, $2 ids uuid[]
-- out: the assets that have unlocked system wallets among these
-- why: this goes by the key of wallets, so that an unknown id costs as little as a known one
SELECT id, code, scale, max_supply, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id
  FROM assets
 WHERE id IN (
        SELECT wallets.asset_id FROM wallets
         WHERE wallets.shard = $1 AND wallets.id = ANY($2::uuid[]) AND NOT wallets.locked
       );
