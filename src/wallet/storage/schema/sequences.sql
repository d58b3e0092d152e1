-- Sequences, and the columns that they number. A logical copy has rows and no sequences (docs/adr/0026).

-- name: find_sequences
-- in:  $1 names of tables text[]
-- out: each sequence that belongs to a column of them, by the catalogue: names that are quoted where they need it
-- why: this finds all sequences that exist. One without a column of its own would be missed, which a test checks
SELECT taken.relname::text AS sequence_name,
       format('%I.%I', space.nspname, taken.relname) AS sequence,
       format('%I.%I', space.nspname, numbered.relname) AS numbered_table,
       quote_ident(attribute.attname) AS numbered_column,
       format('%s.%s', numbered.relname, attribute.attname) AS place
  FROM pg_depend AS owned
  JOIN pg_class AS taken ON taken.oid = owned.objid AND taken.relkind = 'S'
  JOIN pg_class AS numbered ON numbered.oid = owned.refobjid
  JOIN pg_attribute AS attribute ON attribute.attrelid = owned.refobjid AND attribute.attnum = owned.refobjsubid
  JOIN pg_namespace AS space ON space.oid = taken.relnamespace
 WHERE owned.classid = 'pg_class'::regclass
   AND owned.refclassid = 'pg_class'::regclass
   AND owned.deptype IN ('a', 'i')
   AND owned.refobjid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
 ORDER BY taken.relname;

-- name: look_at
-- in:  {sequence}, {numbered_table}, {numbered_column}, quoted
-- out: what the sequence gives next, and the last number that the table has: one step to the end of an index
SELECT taken.last_value + taken.is_called::integer AS next_number,  -- noqa: RF01
       (SELECT max({numbered_column}) FROM {numbered_table}) AS last_number  -- noqa: PRS
  FROM {sequence} AS taken;  -- noqa: PRS

-- name: look_at_batches
-- in:  {sequence}, quoted
-- out: the same of batches, by shard, and with them of what is behind the fence: a watermark or link may be above all
--      batches that are there, for a batch that was rolled back has taken its seq
SELECT taken.last_value + taken.is_called::integer AS next_number,  -- noqa: RF01
       (SELECT max(greatest(
                   watermark.seq,
                   (SELECT max(b.seq) FROM batches AS b WHERE b.shard = watermark.shard),
                   (SELECT max(link.seq) FROM seals AS link WHERE link.shard = watermark.shard)
               ))
          FROM watermarks AS watermark) AS last_number
  FROM {sequence} AS taken;  -- noqa: PRS

-- name: look_at_declines
-- in:  {sequence}, quoted
-- out: the same of declines, whose key begins with the shard: one step to the end of each shard's part of the index
SELECT taken.last_value + taken.is_called::integer AS next_number,  -- noqa: RF01
       (SELECT max((SELECT max(d.id) FROM declines AS d WHERE d.shard = mark.shard))
          FROM watermarks AS mark) AS last_number
  FROM {sequence} AS taken;  -- noqa: PRS

-- name: keep_writers_out
-- why: every batch locks wallets before it takes a number, and every new asset opens wallets. So no number is taken
--      between the look and the move, which could otherwise move a sequence back. The lock is brief, as in a migration
SET LOCAL lock_timeout = '5s';
LOCK TABLE wallets IN EXCLUSIVE MODE;

-- name: move
-- in:  $1 sequence, quoted, text, $2 the last number that is taken bigint
SELECT setval($1::text::regclass, $2);
