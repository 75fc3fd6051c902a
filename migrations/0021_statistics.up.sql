-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 100
-- role: pam_owner

-- How many accounts a partition of sessions holds is guessed from a sample: one of 100 x 300 rows sees most
-- accounts once and takes them for a quarter of what they are (364,000 of 1,600,000 in a month of 6,000,000
-- sessions), so that every list of an account's sessions is planned for four times its rows. 500 x 300 rows come
-- within a tenth.
-- An event's kind says whether it is a success: without their dependence a filter by both is planned for a tenth
-- of its rows.
CREATE STATISTICS public.auth_events_kind_success (dependencies, mcv) ON kind, success FROM public.auth_events;

-- A partition takes statistics objects from its parent (LIKE ... INCLUDING ALL), targets of columns it does not.
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

-- The parent and, as ALTER TABLE recurses, every partition there is.
ALTER TABLE public.sessions ALTER COLUMN account_id SET STATISTICS 500;
ALTER TABLE public.auth_events ALTER COLUMN account_id SET STATISTICS 500;

-- The partitions there are; the next ANALYZE fills them, `pam-auth maintain` sees to it.
DO $$
DECLARE
  part name;
BEGIN
  FOR part IN SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
               WHERE i.inhparent = 'public.auth_events'::regclass
  LOOP
    EXECUTE format('CREATE STATISTICS public.%I (dependencies, mcv) ON kind, success FROM public.%I',
                   part || '_kind_success_stat', part);
  END LOOP;
END
$$;
