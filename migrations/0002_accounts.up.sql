-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- Addresses and phone numbers arrive in canonical form; the CHECKs are the guard. COLLATE "C" keeps their
-- order independent of the C library's version, so no upgrade of it can break the unique index, and lets
-- the index serve prefix searches.
-- updated_at is set by the server: Citus refuses triggers on distributed tables.
CREATE TABLE public.accounts (
  id                 uuid                          NOT NULL DEFAULT gen_random_uuid(),
  email              varchar(255) COLLATE "C",
  hashed_password    varchar(255),
  metadata           jsonb                         NOT NULL DEFAULT '{}',
  app_metadata       jsonb                         NOT NULL DEFAULT '{}',
  phone              varchar(32)  COLLATE "C",
  role               varchar(64)                   NOT NULL DEFAULT 'authenticated',
  aud                varchar(255)                  NOT NULL DEFAULT 'authenticated',
  email_confirmed_at timestamptz,
  phone_confirmed_at timestamptz,
  last_sign_in_at    timestamptz,
  banned_until       timestamptz,
  deleted_at         timestamptz,
  is_anonymous       boolean                       NOT NULL DEFAULT false,
  tokens_valid_after timestamptz,
  failed_count       integer                       NOT NULL DEFAULT 0,
  failed_since       timestamptz,
  created_at         timestamptz                   NOT NULL DEFAULT now(),
  updated_at         timestamptz                   NOT NULL DEFAULT now(),
  CONSTRAINT accounts_pkey PRIMARY KEY (id),
  CONSTRAINT accounts_email_key UNIQUE (email),
  CONSTRAINT accounts_email_canonical CHECK (email <> '' AND email = lower(email) AND email = btrim(email, E' \t\n\x0b\f\r')),
  -- E.164 digits; a deleted account holds a keyed hash instead.
  CONSTRAINT accounts_phone_canonical CHECK (phone ~ '^\+?[1-9][0-9]{3,14}$' OR deleted_at IS NOT NULL),
  CONSTRAINT accounts_hashed_password_present CHECK (hashed_password <> ''),
  CONSTRAINT accounts_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
  CONSTRAINT accounts_app_metadata_object CHECK (jsonb_typeof(app_metadata) = 'object'),
  -- A person's account is never an administrator: machine tokens are.
  CONSTRAINT accounts_role_not_admin CHECK (lower(role) NOT IN ('service_role', 'supabase_admin')),
  CONSTRAINT accounts_failed_count_positive CHECK (failed_count >= 0),
  -- An anonymous account has no credential; a password needs an address or a phone to sign in with. One
  -- without either signs in through a provider (identities).
  CONSTRAINT accounts_credentials CHECK (
    CASE WHEN is_anonymous
         THEN email IS NULL AND phone IS NULL AND hashed_password IS NULL
         ELSE hashed_password IS NULL OR email IS NOT NULL OR phone IS NOT NULL
    END)
) WITH (fillfactor = 90);

-- The administrators' list is keyset-paged in this order. Both columns never change: updates stay HOT.
CREATE INDEX accounts_created_at_id_idx ON public.accounts (created_at, id);

GRANT SELECT, INSERT, UPDATE, DELETE ON public.accounts TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.accounts TO pam_maintain;
GRANT SELECT (id, email, metadata, app_metadata, phone, role, aud, email_confirmed_at, phone_confirmed_at,
              last_sign_in_at, banned_until, deleted_at, is_anonymous, tokens_valid_after, failed_count,
              failed_since, created_at, updated_at) ON public.accounts TO pam_report;
