DO $$
BEGIN
  IF to_regclass('public.signing_keys') IS NULL THEN
    RAISE EXCEPTION 'The table signing_keys is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.signing_keys'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (kid)') THEN
    RAISE EXCEPTION 'The table signing_keys lost its primary key (kid): a key could exist twice.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.signing_keys', 'SELECT') AND has_table_privilege('pam_app', 'public.signing_keys', 'INSERT') AND has_table_privilege('pam_app', 'public.signing_keys', 'UPDATE')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on signing_keys: SELECT, INSERT, UPDATE.';
  END IF;
  IF has_table_privilege('pam_app', 'public.signing_keys', 'DELETE, TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE on signing_keys.';
  END IF;
  IF has_column_privilege('pam_report', 'public.signing_keys', 'sealed', 'SELECT') THEN
    RAISE EXCEPTION 'The role pam_report can read sealed keys.';
  END IF;
END
$$;
