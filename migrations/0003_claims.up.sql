-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- Who holds an address, a phone number or a provider's subject: the primary key is the rule, also across
-- shards. Distributed by value in phase 3, hence no foreign key to accounts.
CREATE TABLE public.claims (
  kind       text COLLATE "C" NOT NULL,
  value      text COLLATE "C" NOT NULL,
  account_id uuid             NOT NULL,
  claimed_at timestamptz      NOT NULL,
  CONSTRAINT claims_pkey PRIMARY KEY (kind, value),
  CONSTRAINT claims_kind_present CHECK (kind <> ''),
  -- 2,000 bytes fit an index entry whatever the kind; an issuer and a subject are far shorter.
  CONSTRAINT claims_value_size CHECK (octet_length(value) BETWEEN 1 AND 2000),
  CONSTRAINT claims_email_canonical CHECK (kind <> 'email' OR (value = lower(value) AND value = btrim(value, E' \t\n\x0b\f\r')))
);

GRANT SELECT, INSERT, UPDATE, DELETE ON public.claims TO pam_app;
GRANT SELECT, UPDATE, DELETE ON public.claims TO pam_maintain;
GRANT SELECT ON public.claims TO pam_report;
