DO $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('public.accounts_metadata_idx') AND indisvalid) THEN
    RAISE EXCEPTION 'The index accounts_metadata_idx is missing or invalid.';
  END IF;
END
$$;
