-- tx: on
-- phase: contract
-- lock_timeout: 200ms
-- retries: 100
-- role: pam_owner

UPDATE public.partition_rules
   SET storage = regexp_replace(storage, 'autovacuum_analyze_scale_factor = [0-9.]+', 'autovacuum_analyze_scale_factor = 0.02')
 WHERE parent = 'sessions';
DO $$
DECLARE
  part name;
BEGIN
  FOR part IN SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
               WHERE i.inhparent = 'public.sessions'::regclass
  LOOP
    EXECUTE format('ALTER TABLE public.%I SET (autovacuum_analyze_scale_factor = 0.02)', part);
  END LOOP;
END
$$;

ALTER TABLE public.sessions
  ALTER COLUMN refresh_token SET STATISTICS -1,
  ALTER COLUMN generation SET STATISTICS -1,
  ALTER COLUMN repeats SET STATISTICS -1,
  ALTER COLUMN absolute_expires_at SET STATISTICS -1,
  ALTER COLUMN revoke_reason SET STATISTICS -1,
  ALTER COLUMN aal SET STATISTICS -1,
  ALTER COLUMN amr SET STATISTICS -1,
  ALTER COLUMN ip SET STATISTICS -1,
  ALTER COLUMN user_agent SET STATISTICS -1;

CREATE OR REPLACE FUNCTION public.make_partition(parent_name text, moment timestamptz) RETURNS boolean
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  rule public.partition_rules;
  first_day timestamp;
  next_day timestamp;
  name text;
  lower_bound text;
  upper_bound text;
  target record;
BEGIN
  SELECT * INTO rule FROM public.partition_rules AS r WHERE r.parent = parent_name;
  IF rule.parent IS NULL THEN
    RAISE EXCEPTION 'The table % has no rule in partition_rules.', parent_name USING ERRCODE = 'invalid_parameter_value';
  END IF;
  first_day := date_trunc(rule.span, moment AT TIME ZONE 'UTC');
  next_day := first_day + ('1 ' || rule.span)::interval;
  name := public.partition_name(rule.parent, rule.span, moment);
  IF to_regclass('public.' || quote_ident(name)) IS NOT NULL THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('pam.' || rule.parent || '.partitions', 0));
  IF to_regclass('public.' || quote_ident(name)) IS NOT NULL THEN
    RETURN false;
  END IF;
  IF rule.bound = 'uuid7' THEN
    lower_bound := public.uuid7_floor(first_day AT TIME ZONE 'UTC')::text;
    upper_bound := public.uuid7_floor(next_day AT TIME ZONE 'UTC')::text;
  ELSE
    lower_bound := to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00';
    upper_bound := to_char(next_day, 'YYYY-MM-DD') || ' 00:00:00+00';
  END IF;
  EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL) WITH (%s)', name, rule.parent, rule.storage);
  FOR target IN
    SELECT a.attname, a.attstattarget FROM pg_attribute AS a
     WHERE a.attrelid = to_regclass('public.' || quote_ident(rule.parent)) AND a.attnum > 0 AND a.attstattarget > 0
  LOOP
    EXECUTE format('ALTER TABLE public.%I ALTER COLUMN %I SET STATISTICS %s', name, target.attname, target.attstattarget);
  END LOOP;
  EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                 rule.parent, name, lower_bound, upper_bound);
  RETURN true;
END
$$;
