-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30

-- The roles of PAM Auth, without passwords: nobody can sign in as them over a network until an operator
-- gives them one (ALTER ROLE pam_app PASSWORD ..., or a certificate, or peer).
--   pam_owner     owns every object; migrations run as it
--   pam_app       the server: reads and writes rows, no DDL
--   pam_maintain  retention and repair; takes the owner's rights by SET ROLE pam_owner, never by itself
--   pam_report    reads, without password hashes and token hashes
--   pam_monitor   PostgreSQL's statistics views, no table
-- Roles belong to the whole cluster, so another database may have made them already, or be making them at
-- this moment: what exists is kept, and a lost race is run again.
DO $$
DECLARE
  tries integer := 0;
BEGIN
  LOOP
    BEGIN
      IF to_regrole('pam_owner') IS NULL THEN
        CREATE ROLE pam_owner LOGIN;
      END IF;
      IF to_regrole('pam_app') IS NULL THEN
        CREATE ROLE pam_app LOGIN;
      END IF;
      IF to_regrole('pam_maintain') IS NULL THEN
        CREATE ROLE pam_maintain LOGIN NOINHERIT;
      END IF;
      IF to_regrole('pam_report') IS NULL THEN
        CREATE ROLE pam_report LOGIN;
      END IF;
      IF to_regrole('pam_monitor') IS NULL THEN
        CREATE ROLE pam_monitor LOGIN;
      END IF;
      IF NOT pg_has_role(current_user, 'pam_owner', 'MEMBER') THEN
        EXECUTE format('GRANT pam_owner TO %I', current_user);
      END IF;
      IF NOT pg_has_role('pam_maintain', 'pam_owner', 'MEMBER') THEN
        GRANT pam_owner TO pam_maintain;
      END IF;
      IF NOT pg_has_role('pam_monitor', 'pg_monitor', 'MEMBER') THEN
        GRANT pg_monitor TO pam_monitor;
      END IF;
      EXIT;
    EXCEPTION
      WHEN duplicate_object OR unique_violation OR internal_error THEN  -- internal_error: "tuple concurrently updated"
        tries := tries + 1;
        IF tries >= 20 THEN
          RAISE;
        END IF;
      WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'The role % may not create the roles of PAM Auth: run the first migration as a superuser or as a role with CREATEROLE.', current_user
          USING ERRCODE = 'insufficient_privilege', DETAIL = SQLERRM;
    END;
  END LOOP;
END
$$;

-- Settings of a role take effect at sign-in, also behind a pooler in transaction mode, where SET does not.
-- A value an operator chose is kept: only what is missing is set.
DO $$
DECLARE
  wanted record;
  tries integer := 0;
BEGIN
  FOR wanted IN
    SELECT r.role_name, s.setting_name, s.setting_value
      FROM (VALUES
        ('pam_app', 'lock_timeout', '100ms'),
        ('pam_app', 'statement_timeout', '2s'),
        ('pam_app', 'idle_in_transaction_session_timeout', '5s'),
        ('pam_app', 'jit', 'off'),
        ('pam_app', 'plan_cache_mode', 'force_generic_plan'),
        ('pam_maintain', 'lock_timeout', '50ms'),
        ('pam_maintain', 'idle_in_transaction_session_timeout', '60s'),
        ('pam_report', 'default_transaction_read_only', 'on'),
        ('pam_report', 'statement_timeout', '60s'),
        ('pam_report', 'idle_in_transaction_session_timeout', '60s'),
        ('pam_monitor', 'default_transaction_read_only', 'on'),
        ('pam_monitor', 'statement_timeout', '5s'),
        ('pam_monitor', 'idle_in_transaction_session_timeout', '5s')
      ) AS s (role_name, setting_name, setting_value)
      JOIN (SELECT rolname::text AS role_name FROM pg_roles) AS r ON r.role_name = s.role_name
  LOOP
    tries := 0;
    LOOP
      EXIT WHEN EXISTS (
        SELECT 1
          FROM pg_db_role_setting AS held
         WHERE held.setrole = to_regrole(wanted.role_name)
           AND held.setdatabase = 0
           AND EXISTS (SELECT 1 FROM unnest(held.setconfig) AS c WHERE split_part(c, '=', 1) = wanted.setting_name));
      BEGIN
        EXECUTE format('ALTER ROLE %I SET %I = %L', wanted.role_name, wanted.setting_name, wanted.setting_value);
        EXIT;
      EXCEPTION WHEN unique_violation OR internal_error THEN
        tries := tries + 1;
        IF tries >= 20 THEN
          RAISE;
        END IF;
      END;
    END LOOP;
  END LOOP;
END
$$;

-- Nobody but the owner makes objects in the schema (the default before PostgreSQL 15 let everybody).
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO pam_app, pam_maintain, pam_report;
GRANT USAGE, CREATE ON SCHEMA public TO pam_owner;

-- The ledger was made by whoever ran this file; from now on it is the owner's. The server reads it to learn
-- whether the schema fits.
ALTER TABLE public.schema_migrations OWNER TO pam_owner;
GRANT SELECT ON public.schema_migrations TO pam_app, pam_maintain, pam_report;
