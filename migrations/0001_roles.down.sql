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

-- The roles themselves stay: they belong to the cluster, other databases may use them, and they hold the
-- passwords an operator gave them. DROP ROLE pam_app, ... is the operator's decision.
