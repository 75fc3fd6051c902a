-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- Heartbeats of the servers that run. A migration of phase contract waits until every live one knows it:
-- schema_version is the highest migration the instance was built with. An instance is live until it says
-- that it ended, or has not been seen for a minute.
CREATE TABLE public.app_instances (
  id             uuid         NOT NULL,
  host           varchar(255) NOT NULL,
  pid            integer      NOT NULL,
  version        varchar(64)  NOT NULL,
  schema_version integer      NOT NULL,
  started_at     timestamptz  NOT NULL,
  seen_at        timestamptz  NOT NULL,
  ended_at       timestamptz,
  CONSTRAINT app_instances_pkey PRIMARY KEY (id),
  CONSTRAINT app_instances_schema_version_positive CHECK (schema_version >= 0)
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON public.app_instances TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.app_instances TO pam_maintain;
GRANT SELECT ON public.app_instances TO pam_report;
