-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- When each step of maintenance last ended, how long it took and what it did: metrics and readiness read
-- the age of a report or a missed round here. One row a step.
CREATE TABLE public.maintenance_steps (
  step        text COLLATE "C" NOT NULL,
  finished_at timestamptz      NOT NULL,
  duration_ms bigint           NOT NULL,
  is_done     boolean          NOT NULL,
  detail      varchar(500)     NOT NULL DEFAULT '',
  CONSTRAINT maintenance_steps_pkey PRIMARY KEY (step),
  CONSTRAINT maintenance_steps_duration_positive CHECK (duration_ms >= 0)
) WITH (fillfactor = 50);

GRANT SELECT ON public.maintenance_steps TO pam_app, pam_report;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.maintenance_steps TO pam_maintain;
