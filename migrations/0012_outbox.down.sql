-- tx: on
-- phase: contract
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

DELETE FROM public.partition_rules WHERE parent = 'outbox';
DROP TABLE public.outbox;
