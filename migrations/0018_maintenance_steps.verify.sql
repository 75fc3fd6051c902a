DO $$
BEGIN
  IF to_regclass('public.maintenance_steps') IS NULL THEN
    RAISE EXCEPTION 'The table maintenance_steps is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.maintenance_steps'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (step)') THEN
    RAISE EXCEPTION 'The table maintenance_steps lost its primary key (step): a step would be reported twice.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.maintenance_steps', 'SELECT')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on maintenance_steps: SELECT.';
  END IF;
  IF has_table_privilege('pam_app', 'public.maintenance_steps', 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT on maintenance_steps.';
  END IF;
END
$$;
