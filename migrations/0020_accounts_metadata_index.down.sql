-- tx: off
-- phase: contract
-- lock_timeout: 200ms
-- retries: 100
-- role: pam_owner

DROP INDEX CONCURRENTLY IF EXISTS public.accounts_metadata_idx;
