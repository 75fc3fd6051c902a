DO $$
BEGIN
  IF to_regclass('public.claims') IS NULL THEN
    RAISE EXCEPTION 'The table claims is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.claims'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (kind, value)') THEN
    RAISE EXCEPTION 'The table claims lost its primary key (kind, value): addresses would no longer be unique.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.claims', 'SELECT')
          AND has_table_privilege('pam_app', 'public.claims', 'INSERT')
          AND has_table_privilege('pam_app', 'public.claims', 'UPDATE')
          AND has_table_privilege('pam_app', 'public.claims', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app may not read and write claims.';
  END IF;
  IF has_table_privilege('pam_app', 'public.claims', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE and DELETE on claims.';
  END IF;
END
$$;
