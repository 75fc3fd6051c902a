DO $$
BEGIN
  IF to_regclass('public.outbox') IS NULL THEN
    RAISE EXCEPTION 'The table outbox is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.outbox'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (bucket, id)') THEN
    RAISE EXCEPTION 'The table outbox lost its primary key (bucket, id): a worker could not take its bucket.';
  END IF;
  IF pg_get_partkeydef('public.outbox'::regclass) <> 'RANGE (id)' THEN
    RAISE EXCEPTION 'The table outbox is not partitioned by RANGE (id).';
  END IF;
  IF NOT (SELECT has_current AND has_next FROM public.partition_state() WHERE parent = 'outbox') THEN
    RAISE EXCEPTION 'A partition of outbox is missing: run SELECT ensure_partitions(''outbox'').';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
              WHERE i.inhparent = 'public.outbox'::regclass AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT') THEN
    RAISE EXCEPTION 'The table outbox has a DEFAULT partition: no partition could be detached concurrently.';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = 'public.outbox'::regclass AND contype = 'f') THEN
    RAISE EXCEPTION 'The table outbox has a foreign key: dropping its partitions would lock other tables.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.outbox', 'SELECT') AND has_table_privilege('pam_app', 'public.outbox', 'INSERT') AND has_table_privilege('pam_app', 'public.outbox', 'UPDATE') AND has_table_privilege('pam_app', 'public.outbox', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on outbox: SELECT, INSERT, UPDATE, DELETE.';
  END IF;
  IF has_table_privilege('pam_app', 'public.outbox', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE, DELETE on outbox.';
  END IF;
  IF has_column_privilege('pam_report', 'public.outbox', 'payload', 'SELECT') THEN
    RAISE EXCEPTION 'The role pam_report can read the payloads of the outbox.';
  END IF;
END
$$;
