DO $$
BEGIN
  IF to_regclass('public.auth_events') IS NULL THEN
    RAISE EXCEPTION 'The table auth_events is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.auth_events'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (account_id, occurred_at, id)') THEN
    RAISE EXCEPTION 'The table auth_events lost its primary key (account_id, occurred_at, id): events could not be found by their account.';
  END IF;
  IF pg_get_partkeydef('public.auth_events'::regclass) <> 'RANGE (occurred_at)' THEN
    RAISE EXCEPTION 'The table auth_events is not partitioned by RANGE (occurred_at).';
  END IF;
  IF NOT (SELECT has_current AND has_next FROM public.partition_state() WHERE parent = 'auth_events') THEN
    RAISE EXCEPTION 'A partition of auth_events is missing: run SELECT ensure_partitions(''auth_events'').';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
              WHERE i.inhparent = 'public.auth_events'::regclass AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT') THEN
    RAISE EXCEPTION 'The table auth_events has a DEFAULT partition: no partition could be detached concurrently.';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = 'public.auth_events'::regclass AND contype = 'f') THEN
    RAISE EXCEPTION 'The table auth_events has a foreign key: dropping its partitions would lock other tables.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('public.auth_events_occurred_at_idx') AND indisvalid) THEN
    RAISE EXCEPTION 'The index auth_events_occurred_at_idx is missing or invalid.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('public.auth_events_geo_idx') AND indisvalid) THEN
    RAISE EXCEPTION 'The index auth_events_geo_idx is missing or invalid.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('public.auth_events_failures_idx') AND indisvalid) THEN
    RAISE EXCEPTION 'The index auth_events_failures_idx is missing or invalid.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.auth_events', 'SELECT') AND has_table_privilege('pam_app', 'public.auth_events', 'INSERT')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on auth_events: SELECT, INSERT.';
  END IF;
  IF has_table_privilege('pam_app', 'public.auth_events', 'UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT on auth_events.';
  END IF;
END
$$;
