-- tx: on
-- phase: contract
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

DROP FUNCTION public.uuid7(timestamptz);
DROP FUNCTION public.uuid7_time(uuid);
DROP FUNCTION public.uuid7_floor(timestamptz);
