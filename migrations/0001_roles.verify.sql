DO $$
DECLARE
  fact record;
BEGIN
  FOR fact IN
    SELECT name FROM unnest(ARRAY['pam_owner', 'pam_app', 'pam_maintain', 'pam_report', 'pam_monitor']) AS name
     WHERE to_regrole(name) IS NULL
  LOOP
    RAISE EXCEPTION 'The role % is missing.', fact.name;
  END LOOP;

  FOR fact IN
    SELECT rolname FROM pg_roles
     WHERE rolname IN ('pam_app', 'pam_maintain', 'pam_report', 'pam_monitor')
       AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)
  LOOP
    RAISE EXCEPTION 'The role % has rights beyond its tables: take SUPERUSER, CREATEROLE, CREATEDB, REPLICATION and BYPASSRLS from it.', fact.rolname;
  END LOOP;

  FOR fact IN
    SELECT s.name FROM unnest(ARRAY['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout', 'jit', 'plan_cache_mode']) AS s (name)
     WHERE NOT EXISTS (
       SELECT 1 FROM pg_db_role_setting AS held, unnest(held.setconfig) AS c
        WHERE held.setrole = to_regrole('pam_app') AND split_part(c, '=', 1) = s.name)
  LOOP
    RAISE EXCEPTION 'The role pam_app has no setting %.', fact.name;
  END LOOP;

  IF pg_has_role('pam_app', 'pam_owner', 'MEMBER') THEN
    RAISE EXCEPTION 'The role pam_app is a member of pam_owner and could change the schema.';
  END IF;
  IF NOT pg_has_role('pam_monitor', 'pg_monitor', 'MEMBER') THEN
    RAISE EXCEPTION 'The role pam_monitor is not a member of pg_monitor.';
  END IF;
  IF has_schema_privilege('pam_app', 'public', 'CREATE') THEN
    RAISE EXCEPTION 'The role pam_app may create objects in the schema public, and % may not forbid it: let a superuser run ALTER SCHEMA public OWNER TO pam_owner (PostgreSQL 14 does not give it to the owner of the database).', current_user;
  END IF;
  IF NOT has_schema_privilege('pam_owner', 'public', 'CREATE') THEN
    RAISE EXCEPTION 'The role pam_owner may not create objects in the schema public.';
  END IF;
  IF NOT has_table_privilege('pam_app', 'public.schema_migrations', 'SELECT')
     OR has_table_privilege('pam_app', 'public.schema_migrations', 'INSERT, UPDATE, DELETE, TRUNCATE') THEN
    RAISE EXCEPTION 'The role pam_app must be able to read the ledger of migrations, and only to read it.';
  END IF;
END
$$;
