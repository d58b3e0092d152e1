-- Holds that a bound caller has a part in: captured to a user's wallet, lots go along (docs/adr/0030). What is open by
-- now keeps what was promised when it was placed. A constant default rewrites no row.
ALTER TABLE holds ADD COLUMN carries_lots boolean NOT NULL DEFAULT false;
