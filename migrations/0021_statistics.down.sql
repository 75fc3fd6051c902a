-- tx: on
-- phase: contract
-- lock_timeout: 200ms
-- retries: 100
-- role: pam_owner

DO $$
DECLARE
  one record;
BEGIN
  FOR one IN SELECT s.stxname FROM pg_statistic_ext AS s
              WHERE s.stxnamespace = 'public'::regnamespace AND s.stxname LIKE 'auth\_events\_%'
  LOOP
    EXECUTE format('DROP STATISTICS public.%I', one.stxname);
  END LOOP;
END
$$;
ALTER TABLE public.sessions ALTER COLUMN account_id SET STATISTICS -1;
ALTER TABLE public.auth_events ALTER COLUMN account_id SET STATISTICS -1;

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
  EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                 rule.parent, name, lower_bound, upper_bound);
  RETURN true;
END
$$;
