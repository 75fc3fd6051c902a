-- tx: on
-- phase: expand
-- lock_timeout: 200ms
-- retries: 30
-- role: pam_owner

-- UUIDv7 (RFC 9562, 5.7): the first 48 bits are the milliseconds since the Unix epoch. The server makes the
-- ids; these functions serve partition bounds, retention and people with psql. The bodies are parsed here,
-- so no search_path of a caller can redirect them.

-- The smallest id of a moment: every id made at or after it compares greater or equal.
CREATE FUNCTION public.uuid7_floor(moment timestamptz) RETURNS uuid
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid;

-- The moment an id was made, in milliseconds.
CREATE FUNCTION public.uuid7_time(id uuid) RETURNS timestamptz
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN to_timestamp((('x0000' || substr(replace(id::text, '-', ''), 1, 12))::bit(64)::bigint) / 1000.0);

-- A new id. The version nibble of gen_random_uuid() is 4, setting two more bits makes it 7.
CREATE FUNCTION public.uuid7(moment timestamptz DEFAULT clock_timestamp()) RETURNS uuid
  LANGUAGE sql VOLATILE STRICT PARALLEL SAFE
  RETURN encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send(floor(extract(epoch FROM moment) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid;

REVOKE ALL ON FUNCTION public.uuid7_floor(timestamptz), public.uuid7_time(uuid), public.uuid7(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.uuid7_floor(timestamptz), public.uuid7_time(uuid), public.uuid7(timestamptz)
  TO pam_app, pam_maintain, pam_report;
