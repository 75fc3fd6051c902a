-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- The id is a UUIDv7: partitions by its range are partitions by time, and the primary key stays the id.
-- refresh_token is the SHA-256 of the current token's bytes; no index names it, or a refresh would not be a
-- HOT update. For the same reason no index predicate names revoked_at or expires_at.
-- There is no DEFAULT partition: it would forbid DETACH CONCURRENTLY and slow every ATTACH.
CREATE TABLE public.sessions (
  id                  uuid        NOT NULL,
  account_id          uuid        NOT NULL,
  refresh_token       bytea       NOT NULL,
  generation          integer     NOT NULL DEFAULT 0,
  repeats             smallint    NOT NULL DEFAULT 0,
  expires_at          timestamptz NOT NULL,
  absolute_expires_at timestamptz NOT NULL,
  created_at          timestamptz NOT NULL,
  refreshed_at        timestamptz NOT NULL,
  revoked_at          timestamptz,
  revoke_reason       smallint,
  aal                 smallint    NOT NULL DEFAULT 1,
  amr                 jsonb       NOT NULL DEFAULT '[]',
  ip                  inet,
  user_agent          text,
  client_id           uuid,
  CONSTRAINT sessions_pkey PRIMARY KEY (id),
  CONSTRAINT sessions_account_id_id_key UNIQUE (account_id, id),
  CONSTRAINT sessions_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts (id) ON DELETE CASCADE,
  CONSTRAINT sessions_refresh_token_size CHECK (octet_length(refresh_token) = 32),
  CONSTRAINT sessions_generation_positive CHECK (generation >= 0),
  CONSTRAINT sessions_repeats_positive CHECK (repeats >= 0),
  CONSTRAINT sessions_lifetime CHECK (expires_at <= absolute_expires_at AND isfinite(absolute_expires_at)),
  CONSTRAINT sessions_revocation CHECK (revoke_reason IS NULL OR revoked_at IS NOT NULL),
  CONSTRAINT sessions_aal_range CHECK (aal BETWEEN 1 AND 3),
  CONSTRAINT sessions_amr_array CHECK (jsonb_typeof(amr) = 'array'),
  CONSTRAINT sessions_user_agent_length CHECK (length(user_agent) <= 512)
) PARTITION BY RANGE (id);

-- Makes the partition of the UTC month that contains the moment; false when it exists.
-- ATTACH locks sessions against DDL only, where CREATE TABLE ... PARTITION OF would lock out every reader.
-- Concurrent callers are lined up by an advisory lock, under the caller's lock_timeout.
CREATE FUNCTION public.make_sessions_partition(moment timestamptz) RETURNS boolean
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  first_day constant timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
  partition_name constant text := 'sessions_' || to_char(first_day, 'YYYYMM');
BEGIN
  IF to_regclass('public.' || partition_name) IS NOT NULL THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('pam.sessions.partitions', 0));
  IF to_regclass('public.' || partition_name) IS NOT NULL THEN
    RETURN false;
  END IF;
  EXECUTE format(
    'CREATE TABLE public.%I (LIKE public.sessions INCLUDING ALL) WITH (fillfactor = 70,'
    ' autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,'
    ' autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,'
    ' autovacuum_vacuum_cost_delay = 1)', partition_name);
  EXECUTE format(
    'ALTER TABLE public.sessions ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', partition_name,
    public.uuid7_floor(first_day AT TIME ZONE 'UTC'),
    public.uuid7_floor((first_day + interval '1 month') AT TIME ZONE 'UTC'));
  RETURN true;
END
$$;

-- What the server may do when the maintenance job did not run: makes the partitions of the current and the
-- next month, no other, and returns how many were missing. Runs with the owner's rights.
CREATE FUNCTION public.ensure_sessions_partitions() RETURNS integer
  LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  this_month constant timestamp := date_trunc('month', statement_timestamp() AT TIME ZONE 'UTC');
BEGIN
  RETURN public.make_sessions_partition(this_month AT TIME ZONE 'UTC')::integer
       + public.make_sessions_partition((this_month + interval '1 month') AT TIME ZONE 'UTC')::integer;
END
$$;

REVOKE ALL ON FUNCTION public.make_sessions_partition(timestamptz), public.ensure_sessions_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.ensure_sessions_partitions() TO pam_app, pam_maintain;

-- The current month and three ahead.
SELECT public.make_sessions_partition((date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead)) AT TIME ZONE 'UTC')
  FROM generate_series(0, 3) AS ahead;

GRANT SELECT, INSERT, UPDATE, DELETE ON public.sessions TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.sessions TO pam_maintain;
GRANT SELECT (id, account_id, generation, repeats, expires_at, absolute_expires_at, created_at, refreshed_at,
              revoked_at, revoke_reason, aal, amr, ip, user_agent, client_id) ON public.sessions TO pam_report;
