#pragma once

#include <vector>

#include "migrations/migration.hpp"

namespace pam::tests {

/// Migrations as docs/database.md ("Recipes") teaches them, numbered from `first` on: what must not disturb a
/// server that knows nothing of them.
using recipe = std::vector<migrations::migration>;

#define PAM_HEAD(tx, phase) \
  "-- tx: " tx "\n-- phase: " phase "\n-- lock_timeout: 200ms\n-- retries: 100\n-- role: pam_owner\n"
#define PAM_TX PAM_HEAD("on", "expand")
#define PAM_ALONE PAM_HEAD("off", "expand")
#define PAM_BACK PAM_HEAD("on", "contract")
#define PAM_FILL PAM_HEAD("off", "backfill") "-- batch: 1000\n-- table: accounts\n"

/// A NOT NULL column whose value is computed: the column, a backfill, a promise, its proof.
inline recipe not_null_column(int first) {
  return {
      {first, "locale", PAM_TX "ALTER TABLE public.accounts ADD COLUMN locale text DEFAULT '';",
       PAM_BACK "ALTER TABLE public.accounts DROP COLUMN locale;",
       "SELECT locale FROM public.accounts LIMIT 1"},
      {first + 1, "fill_locale",
       PAM_FILL
       "WITH batch AS (SELECT id FROM public.accounts WHERE id > coalesce($1::uuid, "
       "'00000000-0000-0000-0000-000000000000') ORDER BY id LIMIT $2::int),"
       " done AS (UPDATE public.accounts AS a SET locale = coalesce(a.metadata->>'locale', 'en') FROM batch"
       " WHERE a.id = batch.id AND (a.locale IS NULL OR a.locale = ''))"
       " SELECT (SELECT id FROM batch ORDER BY id DESC LIMIT 1)::text, (SELECT count(*) FROM batch)",
       PAM_BACK "UPDATE public.accounts SET locale = '' WHERE false;", "SELECT 1"},
      {first + 2, "locale_promised",
       PAM_TX
       "ALTER TABLE public.accounts ADD CONSTRAINT accounts_locale_present CHECK (locale IS NOT NULL) NOT "
       "VALID;",
       PAM_BACK "ALTER TABLE public.accounts DROP CONSTRAINT accounts_locale_present;", "SELECT 1"},
      {first + 3, "locale_proven",
       PAM_TX "ALTER TABLE public.accounts VALIDATE CONSTRAINT accounts_locale_present;",
       PAM_BACK "SELECT 1;", "SELECT 1"},
      {first + 4, "locale_not_null", PAM_TX "ALTER TABLE public.accounts ALTER COLUMN locale SET NOT NULL;",
       PAM_BACK "ALTER TABLE public.accounts ALTER COLUMN locale DROP NOT NULL;",
       "DO $$ BEGIN IF NOT (SELECT attnotnull FROM pg_attribute WHERE attrelid = 'public.accounts'::regclass "
       "AND attname = 'locale') THEN RAISE EXCEPTION 'locale may be NULL'; END IF; END $$"},
  };
}

/// An index on a partitioned parent: the parent's, each partition's without blocking, attached.
inline recipe partitioned_index(int first) {
  return {
      {first, "client_index",
       PAM_TX
       "CREATE INDEX sessions_client_idx ON ONLY public.sessions (client_id) WHERE client_id IS NOT NULL;",
       PAM_BACK "DROP INDEX public.sessions_client_idx;", "SELECT 1"},
      {first + 1, "client_index_of_partitions",
       PAM_ALONE "-- each: sessions\nCREATE INDEX CONCURRENTLY IF NOT EXISTS {partition}_client_idx ON "
                 "public.{partition} (client_id) WHERE client_id IS NOT NULL",
       PAM_BACK "SELECT 1;", "SELECT 1"},
      {first + 2, "client_index_attached",
       PAM_TX
       "DO $$ DECLARE p name; BEGIN FOR p IN SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON "
       "c.oid = i.inhrelid WHERE i.inhparent = 'public.sessions'::regclass LOOP EXECUTE format('ALTER INDEX "
       "public.sessions_client_idx ATTACH PARTITION public.%I', p || '_client_idx'); END LOOP; END $$;",
       PAM_BACK "SELECT 1;",
       "DO $$ BEGIN IF NOT (SELECT indisvalid FROM pg_index WHERE indexrelid = "
       "'public.sessions_client_idx'::regclass) "
       "THEN RAISE EXCEPTION 'the index of sessions is not valid'; END IF; END $$"},
  };
}

/// A type changed: the number of an account's logins, an integer, becomes a bigint. The column itself is the
/// recipe's first file. What servers do between the files is said by `type_change`.
inline recipe wider_type(int first) {
  return {
      {first, "logins", PAM_TX "ALTER TABLE public.accounts ADD COLUMN logins integer NOT NULL DEFAULT 0;",
       PAM_BACK "ALTER TABLE public.accounts DROP COLUMN logins;", "SELECT 1"},
      // Rows that are there hold NULL: not filled. What is inserted from now on is right in both.
      {first + 1, "logins_wide",
       PAM_TX
       "ALTER TABLE public.accounts ADD COLUMN logins_wide bigint, ALTER COLUMN logins_wide SET DEFAULT 0;",
       PAM_BACK "ALTER TABLE public.accounts DROP COLUMN logins_wide;", "SELECT 1"},
      // Waits for the servers that write both: nobody makes the columns differ any more.
      {first + 2, "logins_fence",
       PAM_BACK "COMMENT ON COLUMN public.accounts.logins_wide IS 'written together with logins';",
       PAM_BACK "COMMENT ON COLUMN public.accounts.logins_wide IS NULL;", "SELECT 1"},
      // Not only the empty ones: while both versions ran, the older one wrote past the new column.
      {first + 3, "fill_logins_wide",
       PAM_FILL "WITH batch AS (SELECT id FROM public.accounts WHERE id > coalesce($1::uuid, "
                "'00000000-0000-0000-0000-000000000000') ORDER BY id LIMIT $2::int),"
                " done AS (UPDATE public.accounts AS a SET logins_wide = a.logins FROM batch"
                " WHERE a.id = batch.id AND a.logins_wide IS DISTINCT FROM a.logins)"
                " SELECT (SELECT id FROM batch ORDER BY id DESC LIMIT 1)::text, (SELECT count(*) FROM batch)",
       PAM_BACK "SELECT 1;", "SELECT 1"},
      // A server that still writes only one of them is refused from here on: an error that is seen instead
      // of a value that is lost.
      {first + 4, "logins_promised",
       PAM_TX
       "ALTER TABLE public.accounts ADD CONSTRAINT accounts_logins_same CHECK (logins_wide IS NOT NULL AND "
       "logins_wide = logins) NOT VALID;",
       PAM_BACK "ALTER TABLE public.accounts DROP CONSTRAINT accounts_logins_same;", "SELECT 1"},
      // Proves that both columns say the same: the moment from which servers may read the new one.
      {first + 5, "logins_proven",
       PAM_TX "ALTER TABLE public.accounts VALIDATE CONSTRAINT accounts_logins_same;", PAM_BACK "SELECT 1;",
       "SELECT 1"},
      {first + 6, "logins_not_null",
       PAM_TX "ALTER TABLE public.accounts ALTER COLUMN logins_wide SET NOT NULL;",
       PAM_BACK "ALTER TABLE public.accounts ALTER COLUMN logins_wide DROP NOT NULL;", "SELECT 1"},
      // Waits for the servers that read the new column only; these still write both.
      {first + 7, "logins_apart",
       PAM_BACK "ALTER TABLE public.accounts DROP CONSTRAINT accounts_logins_same;",
       PAM_BACK
       "ALTER TABLE public.accounts ADD CONSTRAINT accounts_logins_same CHECK (logins_wide IS NOT NULL AND "
       "logins_wide = logins) NOT VALID;",
       "SELECT 1"},
      // Waits for the servers that know the new column only.
      {first + 8, "logins_gone", PAM_BACK "ALTER TABLE public.accounts DROP COLUMN logins;",
       PAM_BACK "ALTER TABLE public.accounts ADD COLUMN logins integer NOT NULL DEFAULT 0;",
       "DO $$ BEGIN IF (SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = "
       "'public.accounts'::regclass AND attname = 'logins_wide') <> 'bigint' THEN RAISE EXCEPTION "
       "'logins_wide is no bigint'; END IF; END $$"},
  };
}

/// A table partitioned online: identities, by the month of the account's id. The old table becomes the
/// partition of everything up to the end of this month (the next one's in its last days).
inline recipe partitioned_table(int first) {
#define PAM_BOUND                                                                                      \
  "bound constant timestamp := date_trunc('month', (now() + interval '2 days') AT TIME ZONE 'UTC') + " \
  "interval '1 month'; "
#define PAM_OLD "old constant name := 'identities_' || to_char(bound - interval '1 day', 'YYYYMM'); "
  return {
      // The parent beside it, with everything the old table has: columns in the same order, keys, rights.
      {first, "identities_parent",
       PAM_TX
       "CREATE TABLE public.identities_parent (LIKE public.identities INCLUDING ALL) PARTITION BY RANGE "
       "(account_id);"
       "ALTER TABLE public.identities_parent ADD CONSTRAINT identities_account_fkey FOREIGN KEY (account_id) "
       "REFERENCES public.accounts (id) ON DELETE CASCADE;"
       "GRANT SELECT, INSERT, UPDATE, DELETE ON public.identities_parent TO pam_app;"
       "GRANT SELECT, UPDATE, DELETE ON public.identities_parent TO pam_maintain;"
       "GRANT SELECT ON public.identities_parent TO pam_report;",
       PAM_BACK "DROP TABLE public.identities_parent;", "SELECT 1"},
      {first + 1, "identities_bound_promised",
       PAM_TX "DO $$ DECLARE " PAM_BOUND
              "BEGIN EXECUTE format('ALTER TABLE public.identities ADD CONSTRAINT identities_before CHECK "
              "(account_id < %L) NOT VALID', public.uuid7_floor(bound AT TIME ZONE 'UTC')); END $$;",
       PAM_BACK "ALTER TABLE public.identities DROP CONSTRAINT identities_before;", "SELECT 1"},
      {first + 2, "identities_bound_proven",
       PAM_TX "ALTER TABLE public.identities VALIDATE CONSTRAINT identities_before;", PAM_BACK "SELECT 1;",
       "SELECT 1"},
      // The names change hands. The proven constraint spares the scan, the same keys spare new indexes and
      // the same foreign key its check: an exclusive lock for milliseconds.
      {first + 3, "identities_partitioned",
       PAM_TX
       "DO $$ DECLARE " PAM_BOUND PAM_OLD "BEGIN "
       "EXECUTE format('ALTER TABLE public.identities RENAME TO %I', old);"
       "ALTER TABLE public.identities_parent RENAME TO identities;"
       "EXECUTE format('ALTER TABLE public.identities ATTACH PARTITION public.%I FOR VALUES FROM (MINVALUE) "
       "TO (%L)', old, public.uuid7_floor(bound AT TIME ZONE 'UTC')); END $$;",
       // Rows of later partitions do not exist yet: the next file's way back has taken those away.
       PAM_BACK "DO $$ DECLARE " PAM_BOUND PAM_OLD "BEGIN "
                "EXECUTE format('ALTER TABLE public.identities DETACH PARTITION public.%I', old);"
                "ALTER TABLE public.identities RENAME TO identities_parent;"
                "EXECUTE format('ALTER TABLE public.%I RENAME TO identities', old); END $$;",
       "DO $$ BEGIN IF (SELECT relkind FROM pg_class WHERE oid = 'public.identities'::regclass) <> 'p' THEN "
       "RAISE EXCEPTION 'identities is not partitioned'; END IF; END $$"},
      // From here on maintenance makes its partitions.
      {first + 4, "identities_rule",
       PAM_TX
       "INSERT INTO public.partition_rules (parent, span, bound, storage) VALUES ('identities', 'month', "
       "'uuid7', 'fillfactor = 100');"
       "DO $$ DECLARE " PAM_BOUND
       "BEGIN PERFORM public.make_partition('identities', bound AT TIME ZONE 'UTC'); "
       "END $$;",
       PAM_BACK "DO $$ DECLARE " PAM_BOUND
                "later constant name := 'identities_' || to_char(bound, 'YYYYMM'); BEGIN "
                "EXECUTE format('ALTER TABLE public.identities DETACH PARTITION public.%I', later);"
                "EXECUTE format('DROP TABLE public.%I', later);"
                "DELETE FROM public.partition_rules WHERE parent = 'identities'; END $$;",
       "DO $$ BEGIN IF NOT (SELECT s.has_current FROM public.partition_state() AS s WHERE s.parent = "
       "'identities') AND now() + interval '2 days' < date_trunc('month', now()) + interval '1 month' THEN "
       "RAISE EXCEPTION 'maintenance does not know the partition of this month'; END IF; END $$"},
  };
#undef PAM_BOUND
#undef PAM_OLD
}

#undef PAM_HEAD
#undef PAM_TX
#undef PAM_ALONE
#undef PAM_BACK
#undef PAM_FILL

}  // namespace pam::tests
