-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- How each partitioned table is cut, and the functions that cut it: one rule a table, so that maintenance,
-- the server and `pam-auth check` share one list. sessions joins it here; later tables bring their own row.
CREATE TABLE public.partition_rules (
  parent  text COLLATE "C" NOT NULL,
  span    text COLLATE "C" NOT NULL,
  bound   text COLLATE "C" NOT NULL,
  -- Storage parameters of a partition; the parent, which holds no rows, takes none.
  storage text             NOT NULL,
  CONSTRAINT partition_rules_pkey PRIMARY KEY (parent),
  CONSTRAINT partition_rules_span_known CHECK (span IN ('day', 'month')),
  CONSTRAINT partition_rules_bound_known CHECK (bound IN ('uuid7', 'time'))
);
INSERT INTO public.partition_rules (parent, span, bound, storage) VALUES
  ('sessions', 'month', 'uuid7',
   'fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,'
   ' autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,'
   ' autovacuum_vacuum_cost_delay = 1');

-- The name of the partition that holds the moment: PARENT_YYYYMM or PARENT_YYYYMMDD, in UTC.
CREATE FUNCTION public.partition_name(parent text, span text, moment timestamptz) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE
  RETURN parent || '_' || to_char(moment AT TIME ZONE 'UTC', CASE span WHEN 'month' THEN 'YYYYMM' ELSE 'YYYYMMDD' END);

-- Makes the partition that holds the moment; false when it exists. For the owner and maintenance; the
-- partition is the owner's whoever calls.
-- ATTACH locks the parent against DDL only, where CREATE TABLE ... PARTITION OF would lock out every reader.
-- Concurrent callers are lined up by an advisory lock, under the caller's lock_timeout.
CREATE FUNCTION public.make_partition(parent_name text, moment timestamptz) RETURNS boolean
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

-- What the server may do when the maintenance job did not run: makes the current and the next partition
-- of a table, no other, and returns how many were missing. Runs with the owner's rights.
CREATE FUNCTION public.ensure_partitions(parent_name text) RETURNS integer
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  rule_span text;
BEGIN
  SELECT r.span INTO rule_span FROM public.partition_rules AS r WHERE r.parent = parent_name;
  IF rule_span IS NULL THEN
    RAISE EXCEPTION 'The table % has no rule in partition_rules.', parent_name USING ERRCODE = 'invalid_parameter_value';
  END IF;
  RETURN public.make_partition(parent_name, statement_timestamp())::integer
       + public.make_partition(parent_name,
           (date_trunc(rule_span, statement_timestamp() AT TIME ZONE 'UTC') + ('1 ' || rule_span)::interval)
             AT TIME ZONE 'UTC')::integer;
END
$$;

-- Every partitioned table with what stands ready: for readiness, metrics, `pam-auth check` and maintenance.
-- ahead counts the partitions after the current one without a gap.
CREATE FUNCTION public.partition_state(moment timestamptz DEFAULT statement_timestamp())
  RETURNS TABLE (parent text, span text, has_current boolean, has_next boolean, ahead integer,
                 partitions integer, is_detach_pending boolean)
  LANGUAGE plpgsql STABLE STRICT
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  rule public.partition_rules;
  held text[];
BEGIN
  FOR rule IN SELECT * FROM public.partition_rules AS r ORDER BY r.parent LOOP
    SELECT coalesce(array_agg(c.relname::text) FILTER (WHERE NOT i.inhdetachpending), '{}'), count(*),
           coalesce(bool_or(i.inhdetachpending), false)
      INTO held, partitions, is_detach_pending
      FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
     WHERE i.inhparent = to_regclass('public.' || quote_ident(rule.parent));
    parent := rule.parent;
    span := rule.span;
    has_current := public.partition_name(rule.parent, rule.span, moment) = ANY (held);
    ahead := 0;
    WHILE public.partition_name(rule.parent, rule.span,
            (date_trunc(rule.span, moment AT TIME ZONE 'UTC') + (ahead + 1) * ('1 ' || rule.span)::interval) AT TIME ZONE 'UTC')
          = ANY (held) LOOP
      ahead := ahead + 1;
    END LOOP;
    has_next := ahead > 0;
    RETURN NEXT;
  END LOOP;
END
$$;

REVOKE ALL ON FUNCTION public.partition_name(text, text, timestamptz), public.make_partition(text, timestamptz),
  public.ensure_partitions(text), public.partition_state(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.partition_name(text, text, timestamptz), public.partition_state(timestamptz)
  TO pam_app, pam_maintain, pam_report;
GRANT EXECUTE ON FUNCTION public.ensure_partitions(text) TO pam_app, pam_maintain;
GRANT SELECT ON public.partition_rules TO pam_app, pam_maintain, pam_report;
