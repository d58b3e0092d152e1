-- The secrets that all processes of the service share.

-- name: find_secret
-- in:  $1 name text
-- out: the secret that all processes share, or no row
SELECT secret
  FROM service_secrets
 WHERE name = $1;
