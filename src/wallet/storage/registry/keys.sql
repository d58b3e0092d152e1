-- API keys. All times are by the database's clock and never by the sandbox's: a year that passes for the ledger expires
-- no key.

-- name: insert_key
-- in:  $1 id uuid, $2 name text, $3 prefix text, $4 hash bytea, $5 scopes text[], $6 origin text, $7 user uuid or
--      null, $8 wallets uuid[] or null, $9 seconds until it expires bigint or null, $10 requests per second integer
--      or null
INSERT INTO api_keys (
    created_at, expires_at, requests_per_second, id, user_id, wallet_ids, name, prefix, hash, scopes, origin
)
SELECT now, now + $9::bigint * interval '1 second', $10, $1, $7, $8, $2, $3, $4, $5, $6
  FROM clock_timestamp() AS now;

-- name: list_keys
-- in:  $1 the one wanted uuid or null, $2 its prefix text or null, $3 last id seen uuid or null, $4 rows at most
-- out: keys, descending id
SELECT id, name, prefix, scopes, origin, user_id, wallet_ids, requests_per_second, created_at, expires_at, revoked_at,
       last_used_at
  FROM api_keys
 WHERE ($1::uuid IS NULL OR id = $1::uuid)
   AND ($2::text IS NULL OR prefix = $2::text)
   AND ($3::uuid IS NULL OR id < $3::uuid)
 ORDER BY id DESC
 LIMIT $4;

-- name: revoke_key
-- in:  $1 id uuid
-- out: one row if it was not revoked
UPDATE api_keys
   SET revoked_at = clock_timestamp()
 WHERE id = $1 AND revoked_at IS NULL
RETURNING id;

-- name: find_missing_wallets
-- in:  $1 shard smallint, $2 ids uuid[]
-- out: those ids that no wallet has
SELECT named.id
  FROM unnest($2::uuid[]) AS named (id)
 WHERE NOT EXISTS (SELECT FROM wallets WHERE wallets.shard = $1 AND wallets.id = named.id);

-- name: is_any_key_usable
-- out: whether there is a key that is neither revoked nor expired
SELECT EXISTS(
    SELECT FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
);

-- name: find_key_by_prefix
-- in:  $1 prefix text
-- out: the terms of the key, if there is one; seconds until it expires, below 0 if it has expired
SELECT id, name, hash, scopes, origin, user_id, wallet_ids, requests_per_second, revoked_at IS NOT NULL AS is_revoked,
       extract(EPOCH FROM expires_at - clock_timestamp())::float8 AS expires_in_seconds
  FROM api_keys
 WHERE prefix = $1;

-- name: load_keys
-- in:  $1 ids uuid[]
-- out: as find_key_by_prefix
SELECT id, name, hash, scopes, origin, user_id, wallet_ids, requests_per_second, revoked_at IS NOT NULL AS is_revoked,
       extract(EPOCH FROM expires_at - clock_timestamp())::float8 AS expires_in_seconds
  FROM api_keys
 WHERE id = ANY($1::uuid[]);

-- name: find_revoked
-- in:  $1 the clock as it was answered the last time, timestamptz or null
-- out: one row: the clock, and the keys revoked since a minute before $1
-- why: a revocation has the time of its statement, and is visible from its commit on. A revocation that is committed
--      within a minute is missed by no process
SELECT now, ARRAY(
        SELECT id FROM api_keys WHERE revoked_at >= coalesce($1::timestamptz, now) - interval '1 minute'
    ) AS revoked
  FROM clock_timestamp() AS now;

-- name: note_use
-- in:  $1 ids uuid[]
-- why: several processes record the use of one key: a process that finds its row locked need not write the same again
UPDATE api_keys
   SET last_used_at = clock_timestamp()
 WHERE id IN (
    SELECT id FROM api_keys WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
 );
