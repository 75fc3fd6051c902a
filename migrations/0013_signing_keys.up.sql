-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- Keys that live in the database, sealed under a key-encryption key that does not. A key is published
-- before it signs and verifies after it stopped signing. A reference table in phase 3: few rows, read whole.
CREATE TABLE public.signing_keys (
  kid            varchar(64) COLLATE "C" NOT NULL,
  use            varchar(16) COLLATE "C" NOT NULL,
  algorithm      varchar(16) COLLATE "C" NOT NULL,
  sealed         bytea                   NOT NULL,
  public_key     jsonb,
  created_at     timestamptz             NOT NULL,
  signs_from     timestamptz             NOT NULL,
  signs_until    timestamptz             NOT NULL,
  verifies_until timestamptz             NOT NULL,
  revoked_at     timestamptz,
  CONSTRAINT signing_keys_pkey PRIMARY KEY (kid),
  CONSTRAINT signing_keys_use_known CHECK (use IN ('access', 'machine', 'refresh')),
  CONSTRAINT signing_keys_sealed_size CHECK (octet_length(sealed) BETWEEN 16 AND 16384),
  CONSTRAINT signing_keys_public_object CHECK (jsonb_typeof(public_key) = 'object'),
  CONSTRAINT signing_keys_order CHECK (created_at <= signs_from AND signs_from < signs_until AND signs_until <= verifies_until)
);

GRANT SELECT, INSERT, UPDATE ON public.signing_keys TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.signing_keys TO pam_maintain;
GRANT SELECT (kid, use, algorithm, public_key, created_at, signs_from, signs_until, verifies_until, revoked_at)
  ON public.signing_keys TO pam_report;
