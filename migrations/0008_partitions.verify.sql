DO $$
DECLARE
  fact record;
BEGIN
  IF to_regclass('public.partition_rules') IS NULL THEN
    RAISE EXCEPTION 'The table partition_rules is missing.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.partition_rules', 'SELECT')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on partition_rules: SELECT.';
  END IF;
  IF has_table_privilege('pam_app', 'public.partition_rules', 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT on partition_rules.';
  END IF;
  IF public.partition_name('t', 'day', '2026-11-25 23:30:00-02') <> 't_20261126'
     OR public.partition_name('t', 'month', '2026-11-30 23:30:00-02') <> 't_202612' THEN
    RAISE EXCEPTION 'partition_name does not name partitions by their UTC day or month.';
  END IF;
  FOR fact IN SELECT parent FROM public.partition_rules WHERE to_regclass('public.' || quote_ident(parent)) IS NULL LOOP
    RAISE EXCEPTION 'partition_rules names the table %, which does not exist.', fact.parent;
  END LOOP;
  FOR fact IN
    SELECT c.relname FROM pg_class AS c
     WHERE c.relkind = 'p' AND c.relnamespace = 'public'::regnamespace
       AND NOT EXISTS (SELECT 1 FROM public.partition_rules AS r WHERE r.parent = c.relname)
  LOOP
    RAISE EXCEPTION 'The partitioned table % has no rule in partition_rules: nobody would make its partitions.', fact.relname;
  END LOOP;
  IF NOT has_function_privilege('pam_app', 'public.ensure_partitions(text)', 'EXECUTE')
     OR has_function_privilege('pam_app', 'public.make_partition(text, timestamptz)', 'EXECUTE') THEN
    RAISE EXCEPTION 'The role pam_app must be able to make the current and the next partition, and no other.';
  END IF;
END
$$;
