-- The planner's statistics.

-- name: analyze_outgrown
-- out: the tables that had more than ten times the rows that plans were made for
-- why: a function of the owner's (0004_trust.sql); an ANALYZE of this role's own would pass over them
SELECT analyze_outgrown(current_schema()) AS table_name;
