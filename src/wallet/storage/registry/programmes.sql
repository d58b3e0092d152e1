-- Programmes and the wallets attached to them. Batches post the grants of a programme like any movement, and
-- move an attachment on from period to period. Here an attachment only begins and ends.

-- name: insert_programme
-- in:  $1 shard smallint, $2 id uuid, $3 asset integer, $4 amount bigint, $5 per text, $6 rollover_max bigint or null,
--      $7 expires_in_seconds integer or null, $8 category text, $9 priority smallint, $10 ends_at timestamptz or null
-- out: one row if it was inserted
INSERT INTO programmes (
    created_at, shard, id, asset_id, amount, per, rollover_max, expires_in_seconds, category, priority, ends_at
)
SELECT ledger_now(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
ON CONFLICT DO NOTHING
RETURNING id;

-- name: list_programmes
-- in:  $1 shard smallint, $2 the one wanted uuid or null, $3 last id seen uuid or null, $4 rows at most
-- out: programmes, ascending id; is_over: no period starts any more
SELECT p.id, p.asset_id, a.code AS asset_code, p.amount, p.per, p.rollover_max, p.expires_in_seconds, p.category,
       p.priority, p.ends_at, p.created_at, coalesce(p.ends_at <= ledger_now(), false) AS is_over
  FROM programmes AS p
  JOIN assets AS a ON a.id = p.asset_id
 WHERE p.shard = $1
   AND ($2::uuid IS NULL OR p.id = $2::uuid)
   AND ($3::uuid IS NULL OR p.id > $3::uuid)
 ORDER BY p.id
 LIMIT $4;

-- name: read_clock
-- out: the ledger's clock
-- why: a statement that updates takes the clock as a parameter
SELECT ledger_now() AS now;

-- name: end_programme
-- in:  $1 shard smallint, $2 id uuid, $3 the ledger's clock timestamptz
-- out: one row if it had not ended
-- why: the end is only made earlier. A period that has started by now has been granted or will be; none starts from now
--      on
UPDATE programmes
   SET ends_at = $3
 WHERE shard = $1 AND id = $2 AND (ends_at IS NULL OR ends_at > $3)
RETURNING id;

-- name: lock_wallet
-- in:  $1 shard smallint, $2 id uuid
-- out: the wallet if it exists, locked until the end of the database transaction
-- why: a batch that closes or merges the wallet, or grants to it, comes wholly before or wholly after this
SELECT kind, asset_id, closed_at, merged_into
  FROM wallets
 WHERE shard = $1 AND id = $2
   FOR NO KEY UPDATE;

-- name: attach
-- in:  $1 shard smallint, $2 programme uuid, $3 wallet uuid, $4 the ledger's clock timestamptz
-- out: one row if it was not attached
-- why: a wallet that is attached again later begins anew: periods from 0, whose references differ by their starts
INSERT INTO programme_wallets (anchor_at, next_at, next_period, shard, programme_id, wallet_id)
SELECT $4, CASE WHEN p.ends_at <= $4 THEN NULL ELSE $4 END, 0, $1, p.id, $3
  FROM programmes AS p
 WHERE p.shard = $1 AND p.id = $2
ON CONFLICT (shard, programme_id, wallet_id) DO UPDATE
   SET anchor_at = excluded.anchor_at, next_at = excluded.next_at, next_period = 0, ended_at = NULL
 WHERE programme_wallets.ended_at IS NOT NULL
RETURNING wallet_id;

-- name: detach
-- in:  $1 shard smallint, $2 programme uuid, $3 wallet uuid, $4 the ledger's clock timestamptz
-- out: one row if it was attached
UPDATE programme_wallets
   SET ended_at = $4, next_at = NULL
 WHERE shard = $1 AND programme_id = $2 AND wallet_id = $3 AND ended_at IS NULL
RETURNING wallet_id;

-- name: list_attachments
-- in:  $1 shard smallint, $2 programme uuid, $3 the one wallet wanted uuid or null, $4 last wallet seen uuid or null,
--      $5 rows at most
-- out: the wallets that are or were attached to the programme, ascending id
-- why: a period that would start at or after the programme's end will not, whether or not anybody has noted it yet
SELECT w.programme_id, w.wallet_id, w.anchor_at, w.ended_at, w.next_period,
       CASE WHEN w.next_at >= p.ends_at THEN NULL ELSE w.next_at END AS next_at
  FROM programme_wallets AS w
  JOIN programmes AS p ON p.shard = w.shard AND p.id = w.programme_id
 WHERE w.shard = $1
   AND w.programme_id = $2
   AND ($3::uuid IS NULL OR w.wallet_id = $3::uuid)
   AND ($4::uuid IS NULL OR w.wallet_id > $4::uuid)
 ORDER BY w.wallet_id
 LIMIT $5;

-- name: list_attachments_among
-- in:  $1 shard smallint, $2 programme uuid, $3 wallets uuid[], $4 last wallet seen uuid or null, $5 rows at most
-- out: those of the wallets that are or were attached to the programme, ascending id
-- why: a period that would start at or after the programme's end will not, whether or not anybody has noted it yet
SELECT w.programme_id, w.wallet_id, w.anchor_at, w.ended_at, w.next_period,
       CASE WHEN w.next_at >= p.ends_at THEN NULL ELSE w.next_at END AS next_at
  FROM programme_wallets AS w
  JOIN programmes AS p ON p.shard = w.shard AND p.id = w.programme_id
 WHERE w.shard = $1
   AND w.programme_id = $2
   AND w.wallet_id = ANY($3::uuid[])
   AND ($4::uuid IS NULL OR w.wallet_id > $4)
 ORDER BY w.wallet_id
 LIMIT $5;
