DO $$
BEGIN
  IF to_regclass('public.token_cut') IS NULL THEN
    RAISE EXCEPTION 'The table token_cut is missing.';
  END IF;
  IF (SELECT count(*) FROM public.token_cut) <> 1 THEN
    RAISE EXCEPTION 'The table token_cut must have one row: without it no session is let in.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.token_cut', 'SELECT')
          AND has_table_privilege('pam_app', 'public.token_cut', 'UPDATE')) THEN
    RAISE EXCEPTION 'The role pam_app may not read and move token_cut.';
  END IF;
  IF has_table_privilege('pam_app', 'public.token_cut', 'INSERT, DELETE, TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT and UPDATE on token_cut.';
  END IF;
END
$$;
