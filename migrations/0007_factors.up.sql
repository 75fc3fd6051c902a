-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- Second factors of an account. Secrets are sealed by the server before they arrive here: a stolen
-- database or backup holds no usable one. Rows are few per account; all are found by their account.
CREATE TABLE public.factors (
  account_id    uuid                         NOT NULL,
  id            uuid                         NOT NULL,
  kind          varchar(16) COLLATE "C"      NOT NULL,
  friendly_name varchar(255),
  -- Sealed TOTP secret; a webauthn factor has its key in webauthn_credentials.
  secret        bytea,
  verified_at   timestamptz,
  -- The last TOTP step that was accepted: a code is good for one use.
  last_step     bigint                       NOT NULL DEFAULT 0,
  last_used_at  timestamptz,
  failed_count  integer                      NOT NULL DEFAULT 0,
  failed_since  timestamptz,
  created_at    timestamptz                  NOT NULL,
  updated_at    timestamptz                  NOT NULL,
  CONSTRAINT factors_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT factors_name_key UNIQUE (account_id, friendly_name),
  CONSTRAINT factors_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts (id) ON DELETE CASCADE,
  CONSTRAINT factors_kind_known CHECK (kind IN ('totp', 'webauthn', 'phone')),
  CONSTRAINT factors_secret_present CHECK (kind <> 'totp' OR secret IS NOT NULL),
  CONSTRAINT factors_secret_size CHECK (octet_length(secret) BETWEEN 16 AND 1024),
  CONSTRAINT factors_failed_count_positive CHECK (failed_count >= 0)
) WITH (fillfactor = 90);

-- Public keys of authenticators: passkeys (factor_id is NULL) and WebAuthn second factors. That a
-- credential belongs to one account only is a claim's rule (kind webauthn), as for every other name.
CREATE TABLE public.webauthn_credentials (
  account_id      uuid        NOT NULL,
  id              uuid        NOT NULL,
  credential_id   bytea       NOT NULL,
  factor_id       uuid,
  public_key      bytea       NOT NULL,
  sign_count      bigint      NOT NULL DEFAULT 0,
  aaguid          uuid,
  transports      text[]      NOT NULL DEFAULT '{}',
  is_backed_up    boolean     NOT NULL DEFAULT false,
  is_discoverable boolean     NOT NULL DEFAULT false,
  friendly_name   varchar(255),
  last_used_at    timestamptz,
  created_at      timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL,
  CONSTRAINT webauthn_credentials_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT webauthn_credentials_credential_key UNIQUE (account_id, credential_id),
  CONSTRAINT webauthn_credentials_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts (id) ON DELETE CASCADE,
  CONSTRAINT webauthn_credentials_factor_fkey FOREIGN KEY (account_id, factor_id)
    REFERENCES public.factors (account_id, id) ON DELETE CASCADE,
  CONSTRAINT webauthn_credentials_id_size CHECK (octet_length(credential_id) BETWEEN 1 AND 1023),
  CONSTRAINT webauthn_credentials_key_size CHECK (octet_length(public_key) BETWEEN 1 AND 4096),
  CONSTRAINT webauthn_credentials_sign_count_positive CHECK (sign_count >= 0)
) WITH (fillfactor = 90);

-- Recovery codes: a keyed hash each. A code is spent by setting used_at, once.
CREATE TABLE public.recovery_codes (
  account_id uuid        NOT NULL,
  id         uuid        NOT NULL,
  code_hash  bytea       NOT NULL,
  used_at    timestamptz,
  created_at timestamptz NOT NULL,
  CONSTRAINT recovery_codes_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT recovery_codes_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts (id) ON DELETE CASCADE,
  CONSTRAINT recovery_codes_hash_size CHECK (octet_length(code_hash) = 32)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON public.factors, public.webauthn_credentials, public.recovery_codes TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.factors, public.webauthn_credentials, public.recovery_codes TO pam_maintain;
GRANT SELECT (account_id, id, kind, friendly_name, verified_at, last_used_at, failed_count, failed_since,
              created_at, updated_at) ON public.factors TO pam_report;
GRANT SELECT (account_id, id, factor_id, aaguid, transports, is_backed_up, is_discoverable, last_used_at,
              created_at, updated_at) ON public.webauthn_credentials TO pam_report;
GRANT SELECT (account_id, id, used_at, created_at) ON public.recovery_codes TO pam_report;
