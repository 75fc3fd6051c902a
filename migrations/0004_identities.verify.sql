DO $$
BEGIN
  IF to_regclass('public.identities') IS NULL THEN
    RAISE EXCEPTION 'The table identities is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.identities'::regclass AND contype = 'f' AND convalidated
                    AND confrelid = 'public.accounts'::regclass AND confdeltype = 'c') THEN
    RAISE EXCEPTION 'The identities no longer go with their account (foreign key with ON DELETE CASCADE).';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.identities'::regclass AND conname = 'identities_provider_key') THEN
    RAISE EXCEPTION 'The table identities lost its unique key (account_id, provider, provider_id).';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.identities', 'SELECT')
          AND has_table_privilege('pam_app', 'public.identities', 'INSERT')
          AND has_table_privilege('pam_app', 'public.identities', 'UPDATE')
          AND has_table_privilege('pam_app', 'public.identities', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app may not read and write identities.';
  END IF;
  IF has_table_privilege('pam_app', 'public.identities', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE and DELETE on identities.';
  END IF;
END
$$;
