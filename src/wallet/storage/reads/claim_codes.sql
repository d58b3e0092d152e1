-- Claims by their codes.

-- name: find_claim_by_code
-- in:  $1 shard smallint, $2 hash of the code bytea
-- out: id of the claim that has this code, or no row
-- why: the answer never changes once there is one, so a redemption is decided on it without another look
SELECT id
  FROM claims
 WHERE shard = $1 AND code_hash = $2;
