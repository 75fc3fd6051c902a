-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- Mail, messages and hooks that wait to be sent. A row is written in the transaction of what it tells of.
-- A worker takes one bucket at a time (a hash of the account, 0 to 63; the distribution column) and deletes
-- what was delivered: at least once. The payload is sealed; a mail's token is made when it is sent.
-- The id is a UUIDv7, cut by day: a day's bloat and what could never be delivered go as a whole.
CREATE TABLE public.outbox (
  bucket       smallint                NOT NULL,
  id           uuid                    NOT NULL,
  account_id   uuid                    NOT NULL,
  kind         varchar(40) COLLATE "C" NOT NULL,
  payload      bytea                   NOT NULL,
  due_at       timestamptz             NOT NULL,
  attempts     smallint                NOT NULL DEFAULT 0,
  locked_until timestamptz,
  last_error   varchar(500),
  created_at   timestamptz             NOT NULL,
  CONSTRAINT outbox_pkey PRIMARY KEY (bucket, id),
  CONSTRAINT outbox_bucket_range CHECK (bucket BETWEEN 0 AND 63),
  CONSTRAINT outbox_kind_form CHECK (kind ~ '^[a-z][a-z0-9_]{1,39}$'),
  CONSTRAINT outbox_payload_size CHECK (octet_length(payload) BETWEEN 1 AND 65536),
  CONSTRAINT outbox_attempts_positive CHECK (attempts >= 0)
) PARTITION BY RANGE (id);

INSERT INTO public.partition_rules (parent, span, bound, storage) VALUES
  ('outbox', 'day', 'uuid7', 'fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500');

-- The current day and three ahead.
SELECT public.make_partition('outbox', now() + make_interval(days => ahead)) FROM generate_series(0, 3) AS ahead;

GRANT SELECT, INSERT, UPDATE, DELETE ON public.outbox TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.outbox TO pam_maintain;
GRANT SELECT (bucket, id, account_id, kind, due_at, attempts, locked_until, created_at) ON public.outbox TO pam_report;
