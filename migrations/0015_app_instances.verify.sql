DO $$
BEGIN
  IF to_regclass('public.app_instances') IS NULL THEN
    RAISE EXCEPTION 'The table app_instances is missing.';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_constraint
                  WHERE conrelid = 'public.app_instances'::regclass AND contype = 'p'
                    AND pg_get_constraintdef(oid) = 'PRIMARY KEY (id)') THEN
    RAISE EXCEPTION 'The table app_instances lost its primary key (id): a heartbeat would not find its row.';
  END IF;
  IF NOT (has_table_privilege('pam_app', 'public.app_instances', 'SELECT') AND has_table_privilege('pam_app', 'public.app_instances', 'INSERT') AND has_table_privilege('pam_app', 'public.app_instances', 'UPDATE') AND has_table_privilege('pam_app', 'public.app_instances', 'DELETE')) THEN
    RAISE EXCEPTION 'The role pam_app lacks one of its rights on app_instances: SELECT, INSERT, UPDATE, DELETE.';
  END IF;
  IF has_table_privilege('pam_app', 'public.app_instances', 'TRUNCATE, TRIGGER, REFERENCES') THEN
    RAISE EXCEPTION 'The role pam_app has more than SELECT, INSERT, UPDATE, DELETE on app_instances.';
  END IF;
END
$$;
