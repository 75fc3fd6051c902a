-- tx: on
-- phase: contract
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

DROP FUNCTION public.ensure_sessions_partitions();
DROP FUNCTION public.make_sessions_partition(timestamptz);
DROP TABLE public.sessions;
