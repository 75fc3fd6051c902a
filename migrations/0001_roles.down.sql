-- tx: on
-- phase: contract
-- lock_timeout: 200ms
-- retries: 30

DO $$
BEGIN
  EXECUTE format('ALTER TABLE public.schema_migrations OWNER TO %I', session_user);
END
$$;
REVOKE ALL ON public.schema_migrations FROM pam_app, pam_maintain, pam_report;
REVOKE ALL ON SCHEMA public FROM pam_app, pam_maintain, pam_report, pam_owner;
DO $$
BEGIN
  IF current_setting('server_version_num')::integer < 150000 THEN
    GRANT CREATE ON SCHEMA public TO PUBLIC;
  END IF;
END
$$;

-- A role that another database still uses, or that we are signed in as, stays.
DO $$
DECLARE
  role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['pam_monitor', 'pam_report', 'pam_maintain', 'pam_app', 'pam_owner'] LOOP
    BEGIN
      EXECUTE format('DROP ROLE IF EXISTS %I', role_name);
    EXCEPTION
      WHEN dependent_objects_still_exist OR object_in_use OR insufficient_privilege OR internal_error THEN
        RAISE NOTICE 'The role % is still used and stays.', role_name;
    END;
  END LOOP;
END
$$;
