-- The tables of the public schema as a Mermaid entity diagram: columns with their types and keys, foreign keys
-- as lines, what names an account or a session without one (audit log, tokens) as dotted lines.
\set ON_ERROR_STOP on
WITH tables AS (
  SELECT c.oid, c.relname, c.relkind
    FROM pg_class AS c
   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
),
columns AS (
  SELECT t.relname, a.attnum,
         -- A type's name is one word in Mermaid.
         replace(replace(replace(format_type(a.atttypid, NULL), 'timestamp with time zone', 'timestamptz'),
                 'character varying', 'varchar'), ' ', '_') AS type,
         a.attname,
         concat_ws(', ',
           CASE WHEN EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conrelid = t.oid AND k.contype = 'p' AND a.attnum = ANY (k.conkey)) THEN 'PK' END,
           CASE WHEN EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conrelid = t.oid AND k.contype = 'f' AND a.attnum = ANY (k.conkey)) THEN 'FK' END,
           CASE WHEN EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conrelid = t.oid AND k.contype = 'u' AND a.attnum = ANY (k.conkey)) THEN 'UK' END) AS keys,
         CASE WHEN a.attnotnull THEN '' ELSE ' "may be NULL"' END AS remark
    FROM tables AS t JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
),
lines AS (
  SELECT 1 AS part, '' AS relname, 0 AS at, 'erDiagram' AS line
  UNION ALL
  SELECT 2, t.relname, 0, '  ' || t.relname || ' {' FROM tables AS t
  UNION ALL
  SELECT 2, c.relname, c.attnum, rtrim('    ' || c.type || ' ' || c.attname || ' ' || c.keys) || c.remark FROM columns AS c
  UNION ALL
  SELECT 2, t.relname, 10000, '  }' FROM tables AS t
  UNION ALL
  SELECT 3, t.relname, 0, '  ' || k.confrelid::regclass || ' ||--o{ ' || t.relname || ' : "on delete '
           || CASE k.confdeltype WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null' ELSE 'restrict' END || '"'
    FROM tables AS t JOIN pg_constraint AS k ON k.conrelid = t.oid AND k.contype = 'f'
  UNION ALL
  SELECT 4, c.relname, 0, '  accounts ||..o{ ' || c.relname || ' : "no foreign key"'
    FROM columns AS c
   WHERE c.attname = 'account_id' AND c.keys NOT LIKE '%FK%'
)
SELECT line FROM lines ORDER BY part, relname, at;

SELECT '  ' || parent || ' }o..|| partition_rules : "cut by ' || span || '"' FROM public.partition_rules ORDER BY parent;
