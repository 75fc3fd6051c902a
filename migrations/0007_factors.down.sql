-- tx: on
-- phase: contract
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

DROP TABLE public.recovery_codes;
DROP TABLE public.webauthn_credentials;
DROP TABLE public.factors;
