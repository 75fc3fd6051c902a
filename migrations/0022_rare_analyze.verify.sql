DO $$
DECLARE
  fact record;
BEGIN
  FOR fact IN
    SELECT c.relname, a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname ~ '^sessions(_[0-9]{6})?$'
       AND a.attname IN ('refresh_token', 'generation', 'repeats', 'absolute_expires_at', 'revoke_reason', 'aal', 'amr',
                         'ip', 'user_agent')
       AND coalesce(a.attstattarget, -1) <> 0
  LOOP
    RAISE EXCEPTION 'ANALYZE of % samples %, which no statement asks for (SET STATISTICS 0).', fact.relname, fact.attname;
  END LOOP;
  FOR fact IN
    SELECT c.relname FROM pg_class AS c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^sessions_[0-9]{6}$'
       AND coalesce((SELECT o.option_value::float8 FROM pg_options_to_table(c.reloptions) AS o
                      WHERE o.option_name = 'autovacuum_analyze_scale_factor'), 0) < 1
  LOOP
    RAISE EXCEPTION 'The partition % is analyzed before its rows were refreshed once (autovacuum_analyze_scale_factor).', fact.relname;
  END LOOP;
  IF EXISTS (SELECT 1 FROM public.partition_rules AS r
              WHERE r.parent = 'sessions'
                AND coalesce(substring(r.storage FROM 'autovacuum_analyze_scale_factor = ([0-9.]+)')::float8, 0) < 1) THEN
    RAISE EXCEPTION 'The next partition of sessions would be analyzed before its rows were refreshed once (partition_rules.storage).';
  END IF;
END
$$;
