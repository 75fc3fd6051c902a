DO $$
BEGIN
  IF to_regclass('public.factors') IS NULL THEN
    RAISE EXCEPTION 'The table factors is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.factors'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (account_id, id)') THEN
    RAISE EXCEPTION 'The table factors lost its primary key (account_id, id): rows could not be found by their account.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.factors'::regclass AND contype = 'f' AND convalidated
                    AND confrelid = 'public.accounts'::regclass AND confdeltype = 'c') THEN
    RAISE EXCEPTION 'The rows of factors no longer go with their account (foreign key with ON DELETE CASCADE).';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.factors', 'SELECT') AND has_table_privilege('pam_app', 'public.factors', 'INSERT') AND has_table_privilege('pam_app', 'public.factors', 'UPDATE') AND has_table_privilege('pam_app', 'public.factors', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on factors: SELECT, INSERT, UPDATE, DELETE.';
  END IF;
  IF has_table_privilege('pam_app', 'public.factors', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE, DELETE on factors.';
  END IF;
  IF to_regclass('public.webauthn_credentials') IS NULL THEN
    RAISE EXCEPTION 'The table webauthn_credentials is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.webauthn_credentials'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (account_id, id)') THEN
    RAISE EXCEPTION 'The table webauthn_credentials lost its primary key (account_id, id): rows could not be found by their account.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.webauthn_credentials'::regclass AND contype = 'f' AND convalidated
                    AND confrelid = 'public.accounts'::regclass AND confdeltype = 'c') THEN
    RAISE EXCEPTION 'The rows of webauthn_credentials no longer go with their account (foreign key with ON DELETE CASCADE).';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.webauthn_credentials', 'SELECT') AND has_table_privilege('pam_app', 'public.webauthn_credentials', 'INSERT') AND has_table_privilege('pam_app', 'public.webauthn_credentials', 'UPDATE') AND has_table_privilege('pam_app', 'public.webauthn_credentials', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on webauthn_credentials: SELECT, INSERT, UPDATE, DELETE.';
  END IF;
  IF has_table_privilege('pam_app', 'public.webauthn_credentials', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE, DELETE on webauthn_credentials.';
  END IF;
  IF to_regclass('public.recovery_codes') IS NULL THEN
    RAISE EXCEPTION 'The table recovery_codes is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.recovery_codes'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (account_id, id)') THEN
    RAISE EXCEPTION 'The table recovery_codes lost its primary key (account_id, id): rows could not be found by their account.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.recovery_codes'::regclass AND contype = 'f' AND convalidated
                    AND confrelid = 'public.accounts'::regclass AND confdeltype = 'c') THEN
    RAISE EXCEPTION 'The rows of recovery_codes no longer go with their account (foreign key with ON DELETE CASCADE).';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.recovery_codes', 'SELECT') AND has_table_privilege('pam_app', 'public.recovery_codes', 'INSERT') AND has_table_privilege('pam_app', 'public.recovery_codes', 'UPDATE') AND has_table_privilege('pam_app', 'public.recovery_codes', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on recovery_codes: SELECT, INSERT, UPDATE, DELETE.';
  END IF;
  IF has_table_privilege('pam_app', 'public.recovery_codes', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE, DELETE on recovery_codes.';
  END IF;
  IF has_column_privilege('pam_report', 'public.factors', 'secret', 'SELECT') THEN
    RAISE EXCEPTION 'The role pam_report can read the secrets of factors.';
  END IF;
  IF has_column_privilege('pam_report', 'public.recovery_codes', 'code_hash', 'SELECT') THEN
    RAISE EXCEPTION 'The role pam_report can read the hashes of recovery codes.';
  END IF;
END
$$;
