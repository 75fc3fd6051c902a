-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- What the administrators' reports read. Each view has a unique index, so that REFRESH ... CONCURRENTLY
-- replaces its rows under its readers; `pam-auth maintain` does that every 15 minutes and notes when.
-- A NULL country or client is written as ?? and the nil UUID: a unique index must be able to compare them.
CREATE MATERIALIZED VIEW public.report_daily_sign_ups AS
  SELECT (a.created_at AT TIME ZONE 'UTC')::date AS day,
         count(*) AS sign_ups,
         count(*) FILTER (WHERE a.email IS NOT NULL) AS with_email,
         count(*) FILTER (WHERE a.phone IS NOT NULL) AS with_phone,
         count(*) FILTER (WHERE a.is_anonymous) AS anonymous,
         count(*) FILTER (WHERE a.email_confirmed_at IS NOT NULL OR a.phone_confirmed_at IS NOT NULL) AS confirmed,
         count(*) FILTER (WHERE a.deleted_at IS NOT NULL) AS deleted
    FROM public.accounts AS a
   GROUP BY 1;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX report_daily_sign_ups_key ON public.report_daily_sign_ups (day);

CREATE MATERIALIZED VIEW public.report_daily_events AS
  SELECT (e.occurred_at AT TIME ZONE 'UTC')::date AS day,
         e.kind,
         e.success,
         coalesce(e.country, '??') AS country,
         coalesce(e.client_id, '00000000-0000-0000-0000-000000000000') AS client_id,
         count(*) AS events,
         count(DISTINCT e.account_id) AS accounts
    FROM public.auth_events AS e
   GROUP BY 1, 2, 3, 4, 5;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX report_daily_events_key ON public.report_daily_events (day, kind, success, country, client_id);

CREATE MATERIALIZED VIEW public.report_daily_sessions AS
  SELECT (s.created_at AT TIME ZONE 'UTC')::date AS day,
         coalesce(s.client_id, '00000000-0000-0000-0000-000000000000') AS client_id,
         count(*) AS begun,
         count(DISTINCT s.account_id) AS accounts,
         count(*) FILTER (WHERE s.revoked_at IS NOT NULL) AS revoked
    FROM public.sessions AS s
   GROUP BY 1, 2;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX report_daily_sessions_key ON public.report_daily_sessions (day, client_id);

CREATE MATERIALIZED VIEW public.report_active AS
  SELECT w.days,
         count(*) FILTER (WHERE s.refreshed_at >= statement_timestamp() - make_interval(days => w.days)) AS sessions,
         count(DISTINCT s.account_id) FILTER (WHERE s.refreshed_at >= statement_timestamp() - make_interval(days => w.days)) AS accounts
    FROM (VALUES (1), (7), (30)) AS w (days)
    LEFT JOIN public.sessions AS s ON s.revoked_at IS NULL AND s.refreshed_at >= statement_timestamp() - make_interval(days => w.days)
   GROUP BY w.days;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX report_active_key ON public.report_active (days);

GRANT SELECT ON public.report_daily_sign_ups, public.report_daily_events, public.report_daily_sessions, public.report_active
  TO pam_app, pam_maintain, pam_report;
