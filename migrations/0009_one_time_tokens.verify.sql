DO $$
BEGIN
  IF to_regclass('public.one_time_tokens') IS NULL THEN
    RAISE EXCEPTION 'The table one_time_tokens is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.one_time_tokens'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (id)') THEN
    RAISE EXCEPTION 'The table one_time_tokens lost its primary key (id): a link could not be found.';
  END IF;
  IF pg_get_partkeydef('public.one_time_tokens'::regclass) <> 'RANGE (id)' THEN
    RAISE EXCEPTION 'The table one_time_tokens is not partitioned by RANGE (id).';
  END IF;
  IF NOT (SELECT has_current AND has_next FROM public.partition_state() WHERE parent = 'one_time_tokens') THEN
    RAISE EXCEPTION 'A partition of one_time_tokens is missing: run SELECT ensure_partitions(''one_time_tokens'').';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
              WHERE i.inhparent = 'public.one_time_tokens'::regclass AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT') THEN
    RAISE EXCEPTION 'The table one_time_tokens has a DEFAULT partition: no partition could be detached concurrently.';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = 'public.one_time_tokens'::regclass AND contype = 'f') THEN
    RAISE EXCEPTION 'The table one_time_tokens has a foreign key: dropping its partitions would lock other tables.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('public.one_time_tokens_account_purpose_idx') AND indisvalid) THEN
    RAISE EXCEPTION 'The index one_time_tokens_account_purpose_idx is missing or invalid.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.one_time_tokens', 'SELECT') AND has_table_privilege('pam_app', 'public.one_time_tokens', 'INSERT') AND has_table_privilege('pam_app', 'public.one_time_tokens', 'UPDATE') AND has_table_privilege('pam_app', 'public.one_time_tokens', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on one_time_tokens: SELECT, INSERT, UPDATE, DELETE.';
  END IF;
  IF has_table_privilege('pam_app', 'public.one_time_tokens', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE, DELETE on one_time_tokens.';
  END IF;
  IF has_column_privilege('pam_report', 'public.one_time_tokens', 'token_hash', 'SELECT') THEN
    RAISE EXCEPTION 'The role pam_report can read the hashes of one-time tokens.';
  END IF;
END
$$;
