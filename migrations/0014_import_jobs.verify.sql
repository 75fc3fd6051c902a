DO $$
BEGIN
  IF to_regclass('public.import_jobs') IS NULL THEN
    RAISE EXCEPTION 'The table import_jobs is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.import_jobs'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (id)') THEN
    RAISE EXCEPTION 'The table import_jobs lost its primary key (id): an import could not be resumed.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.import_jobs', 'SELECT') AND has_table_privilege('pam_app', 'public.import_jobs', 'INSERT') AND has_table_privilege('pam_app', 'public.import_jobs', 'UPDATE')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on import_jobs: SELECT, INSERT, UPDATE.';
  END IF;
  IF has_table_privilege('pam_app', 'public.import_jobs', 'DELETE, TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE on import_jobs.';
  END IF;
END
$$;
