DO $$
DECLARE
  moment constant timestamptz := '2026-11-22 10:43:00.123+00';
BEGIN
  IF public.uuid7_floor(moment) <> '01a202da-239b-0000-0000-000000000000'::uuid THEN
    RAISE EXCEPTION 'uuid7_floor gives % instead of the first id of its millisecond.', public.uuid7_floor(moment);
  END IF;
  IF public.uuid7_time(public.uuid7(moment)) <> moment THEN
    RAISE EXCEPTION 'uuid7_time does not read back the moment that uuid7 wrote.';
  END IF;
  IF public.uuid7(moment)::text !~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' THEN
    RAISE EXCEPTION 'uuid7 makes ids that are not version 7, variant 10.';
  END IF;
END
$$;
