-- Administrative acts, recorded before they are carried out, and their answers. Times are by the database's clock.

-- name: insert_act
-- in:  $1 id uuid, $2 key uuid or null, $3 actor text, $4 act text, $5 subject text or null, $6 asked text or null,
--      $7 request_id text or null
-- why: it may be sent again if the connection was lost
INSERT INTO admin_acts (asked_at, id, key_id, actor, act, subject, asked, request_id)
VALUES (clock_timestamp(), $1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING;

-- name: insert_answer
-- in:  $1 act uuid, $2 status smallint
INSERT INTO admin_answers (answered_at, act_id, status)
VALUES (clock_timestamp(), $1, $2)
ON CONFLICT DO NOTHING;

-- name: list_acts
-- in:  $1 last id seen uuid or null, $2 rows at most
-- out: acts, descending id; an act without a status was interrupted, or is not answered yet
SELECT a.id, a.asked_at, a.key_id, a.actor, a.act, a.subject, a.asked, a.request_id, n.status, n.answered_at
  FROM admin_acts AS a
  LEFT JOIN admin_answers AS n ON n.act_id = a.id
 WHERE $1::uuid IS NULL OR a.id < $1::uuid
 ORDER BY a.id DESC
 LIMIT $2;
