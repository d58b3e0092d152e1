-- One top-up of the plain design: eleven statements, each a round trip, one database transaction.
\set n random(1, 100000)
\set reference random(1, 9223372036854775806)
BEGIN;
SELECT id, status FROM transactions WHERE reference_id = 'topup-' || lpad(:reference::text, 30, '0');
SELECT id, asset_type_id, balance FROM wallets WHERE id = md5(:n::text)::uuid FOR UPDATE;
SELECT id, asset_type_id, balance FROM wallets WHERE id = '00000000-0000-0000-0000-000000000000' FOR UPDATE;
SELECT id, code FROM assets WHERE id = 1;
INSERT INTO transactions (reference_id, type, status) VALUES ('topup-' || lpad(:reference::text, 30, '0'), 'topup', 'posted') RETURNING id AS transaction_id \gset
INSERT INTO ledger_entries (transaction_id, wallet_id, direction, amount) VALUES (:transaction_id, '00000000-0000-0000-0000-000000000000', 'debit', 100);
INSERT INTO ledger_entries (transaction_id, wallet_id, direction, amount) VALUES (:transaction_id, md5(:n::text)::uuid, 'credit', 100);
UPDATE wallets SET balance = balance - 100 WHERE id = '00000000-0000-0000-0000-000000000000';
UPDATE wallets SET balance = balance + 100 WHERE id = md5(:n::text)::uuid;
COMMIT;
