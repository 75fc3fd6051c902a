DO $$
BEGIN
  IF to_regclass('public.schema_backfills') IS NULL THEN
    RAISE EXCEPTION 'The table schema_backfills is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.schema_backfills'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (name)') THEN
    RAISE EXCEPTION 'The table schema_backfills lost its primary key (name): a backfill could not be resumed.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.schema_backfills', 'SELECT')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on schema_backfills: SELECT.';
  END IF;
  IF has_table_privilege('pam_app', 'public.schema_backfills', 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT on schema_backfills.';
  END IF;
END
$$;
