DO $$
DECLARE
  fact record;
  this_month constant timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
BEGIN
  IF to_regclass('public.sessions') IS NULL THEN
    RAISE EXCEPTION 'The table sessions is missing.';
  END IF;
  IF pg_get_partkeydef('public.sessions'::regclass) <> 'RANGE (id)' THEN
    RAISE EXCEPTION 'The table sessions is not partitioned by RANGE (id).';
  END IF;
  FOR fact IN
    SELECT inhrelid::regclass AS name FROM pg_inherits
     WHERE inhparent = 'public.sessions'::regclass
       AND pg_get_expr((SELECT relpartbound FROM pg_class WHERE oid = inhrelid), inhrelid) = 'DEFAULT'
  LOOP
    RAISE EXCEPTION 'The partition % is a DEFAULT partition: no partition could be detached concurrently.', fact.name;
  END LOOP;

  FOR fact IN
    SELECT 'sessions_' || to_char(this_month + make_interval(months => ahead), 'YYYYMM') AS name
      FROM generate_series(0, 1) AS ahead
     WHERE NOT EXISTS (
       SELECT 1 FROM pg_inherits
        WHERE inhparent = 'public.sessions'::regclass
          AND inhrelid = to_regclass('public.sessions_' || to_char(this_month + make_interval(months => ahead), 'YYYYMM')))
  LOOP
    RAISE EXCEPTION 'The partition % is missing: run SELECT ensure_sessions_partitions().', fact.name;
  END LOOP;

  FOR fact IN
    SELECT c.oid::regclass AS name FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'public.sessions'::regclass AND NOT coalesce('fillfactor=70' = ANY (c.reloptions), false)
  LOOP
    RAISE EXCEPTION 'The partition % has no fillfactor of 70: refreshes would not stay HOT.', fact.name;
  END LOOP;

  FOR fact IN
    SELECT x.indexrelid::regclass AS name FROM pg_index AS x
     WHERE (x.indrelid = 'public.sessions'::regclass
            OR x.indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'public.sessions'::regclass))
       AND (NOT x.indisvalid OR EXISTS (
         SELECT 1 FROM pg_attribute AS a
          WHERE a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey)
            AND a.attname IN ('refresh_token', 'generation', 'repeats', 'expires_at', 'refreshed_at', 'revoked_at')))
  LOOP
    RAISE EXCEPTION 'The index % is invalid or names a column that a refresh changes.', fact.name;
  END LOOP;

  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.sessions'::regclass AND contype = 'f' AND convalidated
                    AND confrelid = 'public.accounts'::regclass AND confdeltype = 'c') THEN
    RAISE EXCEPTION 'The sessions no longer go with their account (foreign key with ON DELETE CASCADE).';
  END IF;

  IF NOT (has_table_privilege('pam_app', 'public.sessions', 'SELECT')
          AND has_table_privilege('pam_app', 'public.sessions', 'INSERT')
          AND has_table_privilege('pam_app', 'public.sessions', 'UPDATE')
          AND has_table_privilege('pam_app', 'public.sessions', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app may not read and write sessions.';
  END IF;
  IF has_table_privilege('pam_app', 'public.sessions', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE and DELETE on sessions.';
  END IF;
  IF has_column_privilege('pam_report', 'public.sessions', 'refresh_token', 'SELECT') THEN
    RAISE EXCEPTION 'The role pam_report can read the hashes of refresh tokens.';
  END IF;
  IF NOT has_function_privilege('pam_app', 'public.ensure_sessions_partitions()', 'EXECUTE')
     OR has_function_privilege('pam_app', 'public.make_sessions_partition(timestamptz)', 'EXECUTE') THEN
    RAISE EXCEPTION 'The role pam_app must be able to make the current and the next partition, and no other.';
  END IF;
END
$$;
