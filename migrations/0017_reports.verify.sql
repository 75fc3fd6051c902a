DO $$
DECLARE
  fact record;
BEGIN
  FOR fact IN SELECT name FROM unnest(ARRAY['report_daily_sign_ups', 'report_daily_events', 'report_daily_sessions', 'report_active']) AS name
           WHERE to_regclass('public.' || name) IS NULL LOOP
    RAISE EXCEPTION 'The materialized view % is missing.', fact.name;
  END LOOP;
  FOR fact IN
    SELECT c.relname FROM pg_class AS c
     WHERE c.relkind = 'm' AND c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'report\_%'
       AND NOT EXISTS (SELECT 1 FROM pg_index AS i
                        WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL)
  LOOP
    RAISE EXCEPTION 'The materialized view % has no unique index: it could not be refreshed under its readers.', fact.relname;
  END LOOP;
  FOR fact IN
    SELECT c.relname FROM pg_class AS c
     WHERE c.relkind = 'm' AND c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'report\_%'
       AND NOT has_table_privilege('pam_app', c.oid, 'SELECT')
  LOOP
    RAISE EXCEPTION 'The role pam_app may not read the report %.', fact.relname;
  END LOOP;
END
$$;
