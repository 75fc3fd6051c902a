-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- How an account signs in, as the API shows it. Co-located with accounts; that a provider's subject belongs
-- to one account only is the claim's rule.
CREATE TABLE public.identities (
  account_id      uuid                          NOT NULL,
  id              uuid                          NOT NULL,
  provider        varchar(64)  COLLATE "C"      NOT NULL,
  provider_id     text         COLLATE "C"      NOT NULL,
  identity_data   jsonb                         NOT NULL,
  email           varchar(255) COLLATE "C",
  last_sign_in_at timestamptz,
  created_at      timestamptz                   NOT NULL DEFAULT now(),
  updated_at      timestamptz                   NOT NULL DEFAULT now(),
  CONSTRAINT identities_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT identities_provider_key UNIQUE (account_id, provider, provider_id),
  CONSTRAINT identities_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts (id) ON DELETE CASCADE,
  CONSTRAINT identities_provider_present CHECK (provider <> ''),
  CONSTRAINT identities_provider_id_size CHECK (octet_length(provider_id) BETWEEN 1 AND 2000),
  CONSTRAINT identities_data_object CHECK (jsonb_typeof(identity_data) = 'object'),
  CONSTRAINT identities_email_canonical CHECK (email = lower(email) AND email = btrim(email, E' \t\n\x0b\f\r'))
);

GRANT SELECT, INSERT, UPDATE, DELETE ON public.identities TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.identities TO pam_maintain;
GRANT SELECT ON public.identities TO pam_report;
