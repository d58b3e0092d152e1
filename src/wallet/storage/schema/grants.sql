-- The rights of the service's role, table by table; it has no others. {role} is a quoted name.
--
-- Append-only tables are append-only for the role, besides the triggers: no UPDATE, no DELETE, no TRUNCATE. For tables
-- whose rows change, the columns that change are named. After a change of this file, `wallet migrate` grants all anew.

-- name: give_grants
-- in:  {role}, quoted
REVOKE ALL ON  -- noqa: PRS
    assets, users, wallets, wallet_creations, batches, transactions, ledger_entries, backdated_entries, holds,
    hold_steps, claims, claim_redemptions, lots, lot_moves, refund_states, wallet_events, programmes, programme_wallets, metadata_members,
    system_deltas, system_snapshots, watermarks, seals, api_keys, admin_acts, admin_answers, declines, sandbox_clock,
    service_secrets, role_grants, wallet_alembic_version
FROM {role};
REVOKE ALL ON SEQUENCE batch_seq, assets_id_seq, declines_id_seq FROM {role};

-- The role may read everything.
GRANT SELECT ON
    assets, users, wallets, wallet_creations, batches, transactions, ledger_entries, backdated_entries, holds,
    hold_steps, claims, claim_redemptions, lots, lot_moves, refund_states, wallet_events, programmes, programme_wallets, metadata_members,
    system_deltas, system_snapshots, watermarks, seals, api_keys, admin_acts, admin_answers, declines, sandbox_clock,
    service_secrets, role_grants, wallet_alembic_version
TO {role};
GRANT SELECT ON SEQUENCE batch_seq, assets_id_seq, declines_id_seq TO {role};

-- History: rows are added, and never touched again.
GRANT INSERT ON
    batches, transactions, ledger_entries, backdated_entries, system_deltas, system_snapshots, hold_steps, lot_moves,
    claims, claim_redemptions, wallet_events, seals, admin_acts, admin_answers, users, wallet_creations
TO {role};

-- Columns that are derived from history, or that an act changes which history has.
GRANT INSERT, UPDATE (
    balance, held, version, overdraft_limit, max_balance, last_entry_at, next_due_at, closed_at, merged_into,
    freeze_outgoing, freeze_incoming, lot_balance, limit_day, limit_month, label, metadata
) ON wallets TO {role};
GRANT INSERT, UPDATE (
    amount, captured, released, expires_at, wallet_id, status, slice_lots, slice_amounts, carries_lots
) ON holds TO {role};
GRANT INSERT, UPDATE (remaining, held, expiries, wallet_id) ON lots TO {role};
GRANT INSERT, UPDATE (refunded, refunds) ON refund_states TO {role};
GRANT INSERT, UPDATE (draw_order, on_refund_to_expired, grace_seconds) ON assets TO {role};
GRANT INSERT, UPDATE (ends_at) ON programmes TO {role};
GRANT INSERT, UPDATE (anchor_at, next_at, ended_at, next_period) ON programme_wallets TO {role};
GRANT INSERT, UPDATE (revoked_at, last_used_at) ON api_keys TO {role};
GRANT UPDATE (seq, moved_at) ON watermarks TO {role};
GRANT UPDATE (advanced) ON sandbox_clock TO {role};

-- No part of the ledger: an index that triggers keep, and refusals, which are kept for a time only.
GRANT INSERT, DELETE ON metadata_members TO {role};
GRANT INSERT, DELETE ON declines TO {role};

GRANT USAGE ON SEQUENCE batch_seq TO {role};
GRANT USAGE, UPDATE ON SEQUENCE assets_id_seq TO {role};
GRANT EXECUTE ON FUNCTION analyze_outgrown(text) TO {role};

-- name: make_role
-- in:  {role} quoted, {literal} the same as a literal
-- why: another database of this server may be making the role at the same moment. The role cannot log in: logins take
--      it
DO $do$ -- noqa: PRS
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {literal}) THEN
        CREATE ROLE {role} NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$do$;

-- name: let_see_sessions
-- in:  {role}, quoted
-- why: the states of all sessions tell which of them holds the fence back. If the owner may not give this right, the
--      service does not name the session
DO $do$ -- noqa: PRS
BEGIN
    GRANT pg_read_all_stats TO {role};
EXCEPTION WHEN insufficient_privilege THEN NULL;
END
$do$;

-- name: needs_no_leave
-- in:  $1 login, $2 role, both text
-- out: whether the login may take the role already
-- why: the login that makes a role is a member of it, but from PostgreSQL 16 on may not be allowed to take it
SELECT pg_has_role(
    $1::text, $2::text, CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END
);

-- name: let_take
-- in:  {role} and {login}, quoted
GRANT {role} TO {login};  -- noqa: PRS

-- name: note_grants
-- in:  $1 role text, $2 the digest of this file bytea
INSERT INTO role_grants (granted_at, role, digest)
VALUES (clock_timestamp(), $1, $2)
ON CONFLICT (role) DO UPDATE SET granted_at = excluded.granted_at, digest = excluded.digest;

-- name: are_given
-- in:  $1 role text, $2 the digest of this file bytea, $3 the login that is to take it, text; null: whoever asks;
--      $4 whether any digest will do boolean
-- out: whether the role has these grants in this database, and the login may take it
-- why: a restored dump has the row about the grants, but perhaps not the role
SELECT EXISTS (
    SELECT FROM role_grants AS given
      JOIN pg_roles AS r ON r.rolname = given.role
     WHERE given.role = $1 AND (given.digest = $2 OR $4)
       AND has_table_privilege(r.oid, 'transactions', 'INSERT')
       AND pg_has_role(
               coalesce($3::text, session_user), r.oid,
               CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END
           )
) AS are_given;

-- name: login_of_session
-- out: the login of the session, whatever role the session has taken
SELECT session_user::text;

-- name: login_owns_tables
-- out: whether the login itself could change history, whatever role it has taken: it owns the tables, or is a superuser
SELECT pg_has_role(session_user, c.relowner, 'MEMBER') AS owns
  FROM pg_class AS c
 WHERE c.oid = 'transactions'::regclass;
