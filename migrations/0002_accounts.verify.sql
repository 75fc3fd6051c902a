DO $$
DECLARE
  fact record;
BEGIN
  IF to_regclass('public.accounts') IS NULL THEN
    RAISE EXCEPTION 'The table accounts is missing.';
  END IF;
  FOR fact IN
    SELECT name FROM unnest(ARRAY[
        'accounts_pkey', 'accounts_email_key', 'accounts_email_canonical', 'accounts_phone_canonical',
        'accounts_hashed_password_present', 'accounts_metadata_object', 'accounts_app_metadata_object',
        'accounts_role_not_admin', 'accounts_failed_count_positive', 'accounts_credentials']) AS name
     WHERE NOT EXISTS (
       SELECT 1 FROM pg_constraint AS c
        WHERE c.conrelid = 'public.accounts'::regclass AND c.conname = name AND c.convalidated)
  LOOP
    RAISE EXCEPTION 'The table accounts has no valid constraint %.', fact.name;
  END LOOP;
  IF NOT EXISTS (SELECT 1 FROM pg_index
                  WHERE indexrelid = to_regclass('public.accounts_created_at_id_idx') AND indisvalid) THEN
    RAISE EXCEPTION 'The index accounts_created_at_id_idx is missing or invalid.';
  END IF;
  IF (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'public.accounts'::regclass) <> 'pam_owner' THEN
    RAISE EXCEPTION 'The table accounts does not belong to pam_owner.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.accounts', 'SELECT')
          AND has_table_privilege('pam_app', 'public.accounts', 'INSERT')
          AND has_table_privilege('pam_app', 'public.accounts', 'UPDATE')
          AND has_table_privilege('pam_app', 'public.accounts', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app may not read and write accounts.';
  END IF;
  IF has_table_privilege('pam_app', 'public.accounts', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE and DELETE on accounts.';
  END IF;
  IF has_column_privilege('pam_report', 'public.accounts', 'hashed_password', 'SELECT') THEN
    RAISE EXCEPTION 'The role pam_report can read password hashes.';
  END IF;
END
$$;
