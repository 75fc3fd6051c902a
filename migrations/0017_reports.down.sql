-- tx: on
-- phase: contract
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

DROP MATERIALIZED VIEW public.report_active;
DROP MATERIALIZED VIEW public.report_daily_sessions;
DROP MATERIALIZED VIEW public.report_daily_events;
DROP MATERIALIZED VIEW public.report_daily_sign_ups;
