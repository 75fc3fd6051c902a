-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- How far each backfill is: it goes through a table by key in batches and remembers the last key, so that
-- it can be stopped, killed and resumed at any moment.
CREATE TABLE public.schema_backfills (
  name           text COLLATE "C" NOT NULL,
  sha256         char(64)         NOT NULL,
  last_key       text,
  rows_done      bigint           NOT NULL DEFAULT 0,
  rows_estimated bigint           NOT NULL DEFAULT 0,
  started_at     timestamptz      NOT NULL,
  updated_at     timestamptz      NOT NULL,
  finished_at    timestamptz,
  CONSTRAINT schema_backfills_pkey PRIMARY KEY (name),
  CONSTRAINT schema_backfills_rows_positive CHECK (rows_done >= 0 AND rows_estimated >= 0)
) WITH (fillfactor = 50);

GRANT SELECT ON public.schema_backfills TO pam_app, pam_report;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.schema_backfills TO pam_maintain;
