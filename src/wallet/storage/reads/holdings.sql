-- Holds and lots of wallets, as they are now; of holds that are claims, the terms. Lists are keyset-paged, newest
-- first: descending id.

-- name: find_hold
-- in:  $1 shard smallint, $2 id uuid
-- out: the hold, or no row
SELECT id, wallet_id, asset_id, target_wallet_id, amount, captured, released, expires_at, capture_at_expiry, status,
       created_at, carries_lots, claim_amount, uses, once_per_user, code_hash
  FROM holds
  LEFT JOIN LATERAL (
        SELECT c.amount AS claim_amount, c.uses, c.once_per_user, c.code_hash
          FROM claims AS c
         WHERE c.shard = $1 AND c.id = holds.id
        OFFSET 0
       ) AS claim ON true
 WHERE shard = $1 AND id = $2;

-- name: list_holds
-- in:  $1 shard smallint, $2 wallet uuid, $3 status text or null, $4 last id seen uuid or null, $5 rows at most
-- out: the wallet's holds
SELECT id, wallet_id, asset_id, target_wallet_id, amount, captured, released, expires_at, capture_at_expiry, status,
       created_at, carries_lots, claim_amount, uses, once_per_user, code_hash
  FROM holds
  LEFT JOIN LATERAL (
        SELECT c.amount AS claim_amount, c.uses, c.once_per_user, c.code_hash
          FROM claims AS c
         WHERE c.shard = $1 AND c.id = holds.id
        OFFSET 0
       ) AS claim ON true
 WHERE shard = $1
   AND wallet_id = $2
   AND ($3::text IS NULL OR status = $3::text)
   AND ($4::uuid IS NULL OR id < $4::uuid)
 ORDER BY id DESC
 LIMIT $5;

-- name: list_open_holds
-- in:  $1 shard smallint, $2 wallet uuid, $3 last id seen uuid or null, $4 rows at most
-- out: the wallet's open holds
-- why: the condition is that of the index of open holds, so closed ones, however many, are not looked at
SELECT id, wallet_id, asset_id, target_wallet_id, amount, captured, released, expires_at, capture_at_expiry, status,
       created_at, carries_lots, claim_amount, uses, once_per_user, code_hash
  FROM holds
  LEFT JOIN LATERAL (
        SELECT c.amount AS claim_amount, c.uses, c.once_per_user, c.code_hash
          FROM claims AS c
         WHERE c.shard = $1 AND c.id = holds.id
        OFFSET 0
       ) AS claim ON true
 WHERE shard = $1
   AND wallet_id = $2
   AND status = 'open'
   AND ($3::uuid IS NULL OR id < $3::uuid)
 ORDER BY id DESC
 LIMIT $4;

-- name: list_lots
-- in:  $1 shard smallint, $2 wallet uuid, $3 last id seen uuid or null, $4 rows at most
-- out: the wallet's lots, spent and expired ones too
SELECT id, wallet_id, asset_id, category, priority, expires_at, opened_at, opened_by, amount, remaining, held,
       expiries, programme_id
  FROM lots
 WHERE shard = $1
   AND wallet_id = $2
   AND ($3::uuid IS NULL OR id < $3::uuid)
 ORDER BY id DESC
 LIMIT $4;

-- name: list_live_lots
-- in:  $1 shard smallint, $2 wallet uuid, $3 last id seen uuid or null, $4 rows at most
-- out: the wallet's lots of which something is left
-- why: as with open holds
SELECT id, wallet_id, asset_id, category, priority, expires_at, opened_at, opened_by, amount, remaining, held,
       expiries, programme_id
  FROM lots
 WHERE shard = $1
   AND wallet_id = $2
   AND remaining > 0
   AND ($3::uuid IS NULL OR id < $3::uuid)
 ORDER BY id DESC
 LIMIT $4;
