DO $$
BEGIN
  IF to_regclass('public.flow_states') IS NULL THEN
    RAISE EXCEPTION 'The table flow_states is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.flow_states'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (id)') THEN
    RAISE EXCEPTION 'The table flow_states lost its primary key (id): a flow could not be found.';
  END IF;
  IF pg_get_partkeydef('public.flow_states'::regclass) <> 'RANGE (id)' THEN
    RAISE EXCEPTION 'The table flow_states is not partitioned by RANGE (id).';
  END IF;
  IF NOT (SELECT has_current AND has_next FROM public.partition_state() WHERE parent = 'flow_states') THEN
    RAISE EXCEPTION 'A partition of flow_states is missing: run SELECT ensure_partitions(''flow_states'').';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
              WHERE i.inhparent = 'public.flow_states'::regclass AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT') THEN
    RAISE EXCEPTION 'The table flow_states has a DEFAULT partition: no partition could be detached concurrently.';
  END IF;
  IF EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = 'public.flow_states'::regclass AND contype = 'f') THEN
    RAISE EXCEPTION 'The table flow_states has a foreign key: dropping its partitions would lock other tables.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.flow_states', 'SELECT') AND has_table_privilege('pam_app', 'public.flow_states', 'INSERT') AND has_table_privilege('pam_app', 'public.flow_states', 'UPDATE') AND has_table_privilege('pam_app', 'public.flow_states', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on flow_states: SELECT, INSERT, UPDATE, DELETE.';
  END IF;
  IF has_table_privilege('pam_app', 'public.flow_states', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE, DELETE on flow_states.';
  END IF;
  IF has_column_privilege('pam_report', 'public.flow_states', 'secret', 'SELECT') THEN
    RAISE EXCEPTION 'The role pam_report can read the secrets of flows.';
  END IF;
END
$$;
