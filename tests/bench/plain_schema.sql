-- The plain design: what most wallet services are. Random UUIDs, foreign keys, a unique reference, the balance in
-- the wallet's row. No index beyond the keys, which is kind to it.
CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL
);
CREATE TABLE assets (
    id integer PRIMARY KEY,
    code text NOT NULL UNIQUE
);
CREATE TABLE wallets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES users (id),
    asset_type_id integer NOT NULL REFERENCES assets (id),
    label text NOT NULL,
    balance bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE transactions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    reference_id text NOT NULL UNIQUE,
    type text NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ledger_entries (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    transaction_id uuid NOT NULL REFERENCES transactions (id),
    wallet_id uuid NOT NULL REFERENCES wallets (id),
    direction text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO assets VALUES (1, 'GOLD');
INSERT INTO users (id, name) SELECT md5('user ' || n)::uuid, 'user ' || n FROM generate_series(1, 100000) AS n;
-- The script finds a random wallet by hashing a random number. md5 is as scattered as a random UUID.
INSERT INTO wallets (id, user_id, asset_type_id, label)
SELECT md5(n::text)::uuid, md5('user ' || n)::uuid, 1, 'wallet ' || n FROM generate_series(1, 100000) AS n;
INSERT INTO wallets (id, asset_type_id, label) VALUES ('00000000-0000-0000-0000-000000000000', 1, 'treasury');
