-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- The audit log: what happened to an account, when, from where, by whom. Append-only for the server; a
-- month goes as a whole. No foreign key: the log outlives the account until erasure or retention.
-- account_id is never NULL, it is the distribution column: an event of an unknown subject carries a UUID
-- made of a keyed hash of the subject (version 8), so that repeated guesses line up without naming anybody.
CREATE TABLE public.auth_events (
  account_id  uuid                    NOT NULL,
  occurred_at timestamptz             NOT NULL,
  id          uuid                    NOT NULL,
  kind        varchar(40) COLLATE "C" NOT NULL,
  success     boolean                 NOT NULL,
  session_id  uuid,
  ip          inet,
  -- Longitude and latitude in degrees, where a proxy or a lookup told them.
  geo         point,
  country     char(2) COLLATE "C",
  client_id   uuid,
  request_id  varchar(64) COLLATE "C",
  -- Who did it when it was not the account itself: the subject of a machine token.
  actor       varchar(255),
  detail      jsonb                   NOT NULL DEFAULT '{}',
  CONSTRAINT auth_events_pkey PRIMARY KEY (account_id, occurred_at, id),
  CONSTRAINT auth_events_kind_form CHECK (kind ~ '^[a-z][a-z0-9_]{1,39}$'),
  CONSTRAINT auth_events_geo_range CHECK (geo[0] BETWEEN -180 AND 180 AND geo[1] BETWEEN -90 AND 90),
  CONSTRAINT auth_events_country_form CHECK (country ~ '^[A-Z]{2}$'),
  CONSTRAINT auth_events_detail_object CHECK (jsonb_typeof(detail) = 'object'),
  CONSTRAINT auth_events_detail_size CHECK (octet_length(detail::text) <= 8192)
) PARTITION BY RANGE (occurred_at);

-- The log by time: rows arrive in order, so a few kilobytes of block ranges do what a B-tree needs
-- hundreds of times the room for.
CREATE INDEX auth_events_occurred_at_idx ON public.auth_events USING brin (occurred_at) WITH (pages_per_range = 32);
-- The log by place: near a point, within a box.
CREATE INDEX auth_events_geo_idx ON public.auth_events USING gist (geo) WHERE geo IS NOT NULL;
-- Recent failures of an account: sampling, and what the owner is shown.
CREATE INDEX auth_events_failures_idx ON public.auth_events (account_id, occurred_at DESC) WHERE NOT success;

INSERT INTO public.partition_rules (parent, span, bound, storage) VALUES
  ('auth_events', 'month', 'time', 'fillfactor = 100, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02');

-- The current month and three ahead.
SELECT public.make_partition('auth_events', (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead)) AT TIME ZONE 'UTC')
  FROM generate_series(0, 3) AS ahead;

GRANT SELECT, INSERT ON public.auth_events TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.auth_events TO pam_maintain;
GRANT SELECT ON public.auth_events TO pam_report;
