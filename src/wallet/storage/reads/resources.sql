-- Users, wallets and assets, as edges ask for them. Each list is keyset-paged: a null key is its beginning, and one row
-- more than a page holds tells whether there is a next one. Each filter is a statement of its own, along an index that
-- has its rows in the order of the list: docs/filters.md.

-- name: find_user
-- in:  $1 shard smallint, $2 id uuid
-- out: the user, or no row
SELECT id, name, metadata, created_at
  FROM users
 WHERE shard = $1 AND id = $2;

-- name: list_users
-- in:  $1 shard smallint, $2 last id seen uuid or null, $3 rows at most
-- out: users, descending id
SELECT id, name, metadata, created_at
  FROM users
 WHERE shard = $1
   AND ($2::uuid IS NULL OR id < $2::uuid)
 ORDER BY id DESC
 LIMIT $3;

-- name: list_users_by_name
-- in:  $1 shard smallint, $2 name text, $3 last id seen uuid or null, $4 rows at most
-- out: users of exactly this name, descending id
SELECT id, name, metadata, created_at
  FROM users
 WHERE shard = $1
   AND name = $2
   AND ($3::uuid IS NULL OR id < $3::uuid)
 ORDER BY id DESC
 LIMIT $4;

-- name: list_users_by_metadata
-- in:  $1 shard smallint, $2 key text, $3 value text, $4 last id seen uuid or null, $5 rows at most
-- out: users whose metadata has this member, descending id
-- why: OFFSET 0 keeps the look-up by key: one per row of the page, whatever the statistics say
SELECT u.id, u.name, u.metadata, u.created_at
  FROM metadata_members AS m
 CROSS JOIN LATERAL (
        SELECT id, name, metadata, created_at FROM users WHERE shard = $1 AND id = m.owner_id OFFSET 0
       ) AS u
 WHERE m.shard = $1
   AND m.owner_kind = 'u'
   AND m.key = $2
   AND m.value = $3
   AND ($4::uuid IS NULL OR m.owner_id < $4::uuid)
 ORDER BY m.owner_id DESC
 LIMIT $5;

-- name: find_wallets
-- in:  $1 shard smallint, $2 ids uuid[]
-- out: those that exist, descending id. Version null: it is never locked
SELECT w.id, w.kind, w.asset_id, a.code AS asset_code, w.user_id, w.label, w.metadata, w.overdraft_limit,
       w.max_balance, w.freeze_outgoing, w.freeze_incoming, w.limit_day, w.limit_month, w.merged_into,
       CASE WHEN w.locked THEN w.version END AS version, w.created_at, w.closed_at,
       coalesce(w.next_due_at <= ledger_now(), false) AS is_due
  FROM wallets AS w
  JOIN assets AS a ON a.id = w.asset_id
 WHERE w.shard = $1 AND w.id = ANY($2::uuid[])
 ORDER BY w.id DESC;

-- name: list_wallet_ids
-- in:  $1 shard smallint, $2 last id seen uuid or null, $3 rows at most
-- out: ids of wallets, descending
SELECT id
  FROM wallets
 WHERE shard = $1
   AND ($2::uuid IS NULL OR id < $2::uuid)
 ORDER BY id DESC
 LIMIT $3;

-- name: list_wallet_ids_by_user
-- in:  $1 shard smallint, $2 user uuid, $3 last id seen uuid or null, $4 rows at most
-- out: ids of the user's wallets, descending
SELECT id
  FROM wallets
 WHERE shard = $1
   AND user_id = $2
   AND ($3::uuid IS NULL OR id < $3::uuid)
 ORDER BY id DESC
 LIMIT $4;

-- name: list_wallet_ids_of_user
-- in:  $1 shard smallint, $2 user uuid, $3 last id seen uuid or null, $4 rows at most
-- out: ids of the user's wallets, ascending
SELECT id
  FROM wallets
 WHERE shard = $1
   AND user_id = $2
   AND ($3::uuid IS NULL OR id > $3::uuid)
 ORDER BY id
 LIMIT $4;

-- name: list_wallet_ids_by_label
-- in:  $1 shard smallint, $2 label text, $3 last id seen uuid or null, $4 rows at most
-- out: ids of wallets with exactly this label, descending
SELECT id
  FROM wallets
 WHERE shard = $1
   AND label = $2
   AND ($3::uuid IS NULL OR id < $3::uuid)
 ORDER BY id DESC
 LIMIT $4;

-- name: list_wallet_ids_by_metadata
-- in:  $1 shard smallint, $2 key text, $3 value text, $4 last id seen uuid or null, $5 rows at most
-- out: ids of wallets whose metadata has this member, descending
SELECT owner_id AS id
  FROM metadata_members
 WHERE shard = $1
   AND owner_kind = 'w'
   AND key = $2
   AND value = $3
   AND ($4::uuid IS NULL OR owner_id < $4::uuid)
 ORDER BY owner_id DESC
 LIMIT $5;

-- name: list_wallet_ids_among
-- in:  $1 shard smallint, $2 wallets uuid[]; filters, each or null: $3 user uuid, $4 label, $5 key and $6 value of
--      metadata; $7 last id seen uuid or null, $8 rows at most
-- out: ids of those of these wallets that fit, descending
-- why: OFFSET 0 keeps the look-up by key: one per wallet, however many have the member
SELECT w.id
  FROM wallets AS w
 WHERE w.shard = $1
   AND w.id = ANY($2::uuid[])
   AND ($3::uuid IS NULL OR w.user_id = $3)
   AND ($4::text IS NULL OR w.label = $4)
   AND ($5::text IS NULL OR EXISTS (
        SELECT FROM metadata_members AS m
         WHERE m.shard = $1 AND m.owner_kind = 'w' AND m.key = $5 AND m.value = $6 AND m.owner_id = w.id
        OFFSET 0
       ))
   AND ($7::uuid IS NULL OR w.id < $7)
 ORDER BY w.id DESC
 LIMIT $8;

-- name: list_assets
-- in:  $1 shard smallint, $2 the one wanted integer or null, $3 last id seen integer or null, $4 rows at most
-- out: assets in order of id, with the balances of their system wallets as numeric
-- why: the same sum for both kinds of system wallet: a locked one has no deltas, the balance of an unlocked row is
--      zero. One snapshot for all three, so that they belong together
SELECT a.id, a.code, a.scale, a.max_supply, a.draw_order, a.on_refund_to_expired, a.grace_seconds,
       a.treasury_wallet_id, a.revenue_wallet_id, a.breakage_wallet_id, a.created_at,
       b.treasury, b.revenue, b.breakage
  FROM assets AS a
 CROSS JOIN LATERAL (
        SELECT sum(s.balance) FILTER (WHERE s.kind = 'treasury') AS treasury,
               sum(s.balance) FILTER (WHERE s.kind = 'revenue') AS revenue,
               sum(s.balance) FILTER (WHERE s.kind = 'breakage') AS breakage
          FROM (
                SELECT w.kind,
                       w.balance + coalesce(latest.balance, 0) + coalesce((
                           SELECT sum(d.amount)
                             FROM system_deltas AS d
                            WHERE d.shard = $1
                              AND d.wallet_id = w.id
                              AND d.seq > coalesce(latest.upto_seq, 0)
                       ), 0) AS balance
                  FROM wallets AS w
                  LEFT JOIN LATERAL (
                        SELECT snapshot.upto_seq, snapshot.balance
                          FROM system_snapshots AS snapshot
                         WHERE snapshot.shard = $1 AND snapshot.wallet_id = w.id
                         ORDER BY snapshot.upto_seq DESC
                         LIMIT 1
                       ) AS latest ON true
                 WHERE w.shard = $1
                   AND w.id IN (a.treasury_wallet_id, a.revenue_wallet_id, a.breakage_wallet_id)
               ) AS s
       ) AS b
 WHERE ($2::integer IS NULL OR a.id = $2::integer)
   AND ($3::integer IS NULL OR a.id > $3::integer)
 ORDER BY a.id
 LIMIT $4;
