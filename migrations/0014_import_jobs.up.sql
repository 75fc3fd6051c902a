-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- One row an import of accounts (POST /admin/imports): how far it is, and what it could not take.
CREATE TABLE public.import_jobs (
  id            uuid                    NOT NULL,
  state         varchar(16) COLLATE "C" NOT NULL DEFAULT 'pending',
  actor         varchar(255)            NOT NULL,
  lines_done    bigint                  NOT NULL DEFAULT 0,
  lines_total   bigint,
  imported      bigint                  NOT NULL DEFAULT 0,
  refused       bigint                  NOT NULL DEFAULT 0,
  -- The first refusals: [{"line": 17, "reason": "email_exists"}], never an address.
  refusals      jsonb                   NOT NULL DEFAULT '[]',
  locked_until  timestamptz,
  created_at    timestamptz             NOT NULL,
  updated_at    timestamptz             NOT NULL,
  finished_at   timestamptz,
  CONSTRAINT import_jobs_pkey PRIMARY KEY (id),
  CONSTRAINT import_jobs_state_known CHECK (state IN ('pending', 'running', 'done', 'failed', 'cancelled')),
  CONSTRAINT import_jobs_counts CHECK (lines_done >= 0 AND imported >= 0 AND refused >= 0 AND imported + refused <= lines_done),
  CONSTRAINT import_jobs_refusals_array CHECK (jsonb_typeof(refusals) = 'array'),
  CONSTRAINT import_jobs_finished CHECK ((finished_at IS NOT NULL) = (state IN ('done', 'failed', 'cancelled')))
);

GRANT SELECT, INSERT, UPDATE ON public.import_jobs TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.import_jobs TO pam_maintain;
GRANT SELECT ON public.import_jobs TO pam_report;
