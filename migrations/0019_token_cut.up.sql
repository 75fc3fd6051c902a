-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- The moment before which nobody's session counts any more: one row, moved by POST /admin/logout_all. A
-- session's id carries the time it began, so every process judges by this row without touching sessions.
-- A reference table in phase 3.
CREATE TABLE public.token_cut (
  id          smallint    NOT NULL,
  valid_after timestamptz NOT NULL,
  CONSTRAINT token_cut_pkey PRIMARY KEY (id),
  CONSTRAINT token_cut_one_row CHECK (id = 1),
  CONSTRAINT token_cut_finite CHECK (isfinite(valid_after))
);

INSERT INTO public.token_cut (id, valid_after) VALUES (1, 'epoch');

-- Neither INSERT nor DELETE: without its row nobody could be let in.
GRANT SELECT, UPDATE ON public.token_cut TO pam_app;
GRANT SELECT ON public.token_cut TO pam_maintain, pam_report;
