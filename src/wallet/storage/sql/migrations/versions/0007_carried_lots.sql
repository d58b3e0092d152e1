-- Holds of callers that are bound: captured to a user's wallet, lots go along (docs/adr/0030). A hold that is open already
-- keeps what was promised when it was placed. A default that is constant rewrites no row.
ALTER TABLE holds ADD COLUMN carries_lots boolean NOT NULL DEFAULT false;
