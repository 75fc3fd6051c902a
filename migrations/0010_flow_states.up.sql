-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- What a sign-in that takes several requests remembers: PKCE challenges, OIDC state, passkey challenges
-- that begin before an account is known. The id is a UUIDv7, cut by day, and the only way to a row; in
-- phase 3 the table is distributed by it.
CREATE TABLE public.flow_states (
  id         uuid                    NOT NULL,
  kind       varchar(32) COLLATE "C" NOT NULL,
  account_id uuid,
  secret     bytea,
  detail     jsonb                   NOT NULL DEFAULT '{}',
  expires_at timestamptz             NOT NULL,
  used_at    timestamptz,
  created_at timestamptz             NOT NULL,
  CONSTRAINT flow_states_pkey PRIMARY KEY (id),
  CONSTRAINT flow_states_kind_form CHECK (kind ~ '^[a-z][a-z_]{1,31}$'),
  CONSTRAINT flow_states_secret_size CHECK (octet_length(secret) BETWEEN 1 AND 4096),
  CONSTRAINT flow_states_detail_object CHECK (jsonb_typeof(detail) = 'object')
) PARTITION BY RANGE (id);

INSERT INTO public.partition_rules (parent, span, bound, storage) VALUES
  ('flow_states', 'day', 'uuid7', 'fillfactor = 90');

-- The current day and three ahead.
SELECT public.make_partition('flow_states', now() + make_interval(days => ahead)) FROM generate_series(0, 3) AS ahead;

GRANT SELECT, INSERT, UPDATE, DELETE ON public.flow_states TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.flow_states TO pam_maintain;
GRANT SELECT (id, kind, account_id, expires_at, used_at, created_at) ON public.flow_states TO pam_report;
