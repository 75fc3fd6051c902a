-- tx: on
-- phase: contract
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

DROP FUNCTION public.partition_state(timestamptz);
DROP FUNCTION public.ensure_partitions(text);
DROP FUNCTION public.make_partition(text, timestamptz);
DROP FUNCTION public.partition_name(text, text, timestamptz);
DROP TABLE public.partition_rules;
