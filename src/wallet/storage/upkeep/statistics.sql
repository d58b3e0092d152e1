-- The planner's statistics.

-- name: analyze_outgrown
-- out: the tables that had more than ten times the rows that plans were made for
-- why: this is a function of the owner's (0004_trust.sql), because an ANALYZE by this role would skip the tables
SELECT analyze_outgrown(current_schema()) AS table_name;
