-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- Links and codes that are good for one use. A link's token names this row: base64url(id, account id,
-- 16 random bytes), of which the SHA-256 stands here. A six-digit code is found by account and purpose;
-- its hash is HMAC(server key, id, code) and it dies after five wrong tries.
-- The id is a UUIDv7, cut by day. No foreign key: dropping a day must not lock accounts; a row of a deleted
-- account finds nobody. Phase 3 has PRIMARY KEY (account_id, id).
CREATE TABLE public.one_time_tokens (
  id         uuid                    NOT NULL,
  account_id uuid                    NOT NULL,
  purpose    varchar(32) COLLATE "C" NOT NULL,
  token_hash bytea                   NOT NULL,
  -- What the token is about: the address a change goes to, a sealed PKCE challenge.
  detail     jsonb                   NOT NULL DEFAULT '{}',
  expires_at timestamptz             NOT NULL,
  attempts   smallint                NOT NULL DEFAULT 0,
  used_at    timestamptz,
  created_at timestamptz             NOT NULL,
  CONSTRAINT one_time_tokens_pkey PRIMARY KEY (id),
  CONSTRAINT one_time_tokens_purpose_form CHECK (purpose ~ '^[a-z][a-z_]{1,31}$'),
  CONSTRAINT one_time_tokens_hash_size CHECK (octet_length(token_hash) = 32),
  CONSTRAINT one_time_tokens_detail_object CHECK (jsonb_typeof(detail) = 'object'),
  CONSTRAINT one_time_tokens_attempts_positive CHECK (attempts >= 0)
) PARTITION BY RANGE (id);

-- The newest token of an account and purpose: codes, and voiding what is open after a password change.
CREATE INDEX one_time_tokens_account_purpose_idx ON public.one_time_tokens (account_id, purpose, id DESC);

INSERT INTO public.partition_rules (parent, span, bound, storage) VALUES
  ('one_time_tokens', 'day', 'uuid7', 'fillfactor = 90');

-- The current day and three ahead.
SELECT public.make_partition('one_time_tokens', now() + make_interval(days => ahead)) FROM generate_series(0, 3) AS ahead;

GRANT SELECT, INSERT, UPDATE, DELETE ON public.one_time_tokens TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.one_time_tokens TO pam_maintain;
GRANT SELECT (id, account_id, purpose, expires_at, attempts, used_at, created_at) ON public.one_time_tokens TO pam_report;
