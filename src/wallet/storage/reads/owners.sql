-- Owners of wallets, by which the service decides which wallets a bound caller sees. They never change; the wallet of a
-- hold changes with a merge.

-- name: find_owners
-- in:  $1 shard smallint, $2 ids uuid[]
-- out: of those that exist: id, kind, user_id or null
SELECT id, kind, user_id
  FROM wallets
 WHERE shard = $1 AND id = ANY($2::uuid[]);

-- name: find_homes
-- in:  $1 shard smallint, $2 holds uuid[]
-- out: of those that exist: id, wallet_id
SELECT id, wallet_id
  FROM holds
 WHERE shard = $1 AND id = ANY($2::uuid[]);

-- name: list_wallets_owned
-- in:  $1 shard smallint, $2 user uuid
-- out: ids of the user's wallets, ascending
SELECT id
  FROM wallets
 WHERE shard = $1 AND user_id = $2 AND kind = 'user'
 ORDER BY id;

-- name: find_references
-- in:  $1 shard smallint, $2 origin text, $3 reference_ids text[]
-- out: those that are used
SELECT reference_id
  FROM transactions
 WHERE shard = $1 AND origin = $2 AND reference_id = ANY($3::text[]);
