-- tx: off
-- phase: expand
-- lock_timeout: 200ms
-- retries: 100
-- role: pam_owner

-- Administrators look for accounts by what their metadata contains. jsonb_path_ops: a third of the size of the
-- default, and made for @>. A sign-in changes no metadata, so its updates stay HOT.
CREATE INDEX CONCURRENTLY IF NOT EXISTS accounts_metadata_idx ON public.accounts USING gin (metadata jsonb_path_ops);
