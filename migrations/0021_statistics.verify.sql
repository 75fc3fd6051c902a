DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
              WHERE a.attname = 'account_id' AND c.relnamespace = 'public'::regnamespace
                AND c.relkind IN ('r', 'p') AND c.relname ~ '^(sessions|auth_events)(_[0-9]{6})?$'
                AND coalesce(a.attstattarget, -1) < 500) THEN
    RAISE EXCEPTION 'The accounts of a table or partition of sessions or auth_events are sampled too thinly (SET STATISTICS 500).';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_class AS c
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                AND c.relname ~ '^auth_events(_[0-9]{6})?$'
                AND NOT EXISTS (SELECT 1 FROM pg_statistic_ext AS s WHERE s.stxrelid = c.oid)) THEN
    RAISE EXCEPTION 'A table or partition of auth_events has no statistics of kind and success together.';
  END IF;
END
$$;
