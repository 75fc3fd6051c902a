#pragma once

#include <array>

#include "migrations/migration.hpp"

namespace pam::tests {

/// Migrations as docs/database.md ("Recipes") teaches them, numbered from `first` on: what must not disturb a
/// server that knows nothing of them.
inline std::array<migrations::migration, 8> recipes(int first) {
#define PAM_TX "-- tx: on\n-- phase: expand\n-- lock_timeout: 200ms\n-- retries: 100\n-- role: pam_owner\n"
#define PAM_ALONE \
  "-- tx: off\n-- phase: expand\n-- lock_timeout: 200ms\n-- retries: 100\n-- role: pam_owner\n"
#define PAM_BACK \
  "-- tx: on\n-- phase: contract\n-- lock_timeout: 200ms\n-- retries: 100\n-- role: pam_owner\n"
  return {{
      // A NOT NULL column whose value is computed: the column, a backfill, a promise, its proof.
      {first, "locale", PAM_TX "ALTER TABLE public.accounts ADD COLUMN locale text DEFAULT '';",
       PAM_BACK "ALTER TABLE public.accounts DROP COLUMN locale;",
       "SELECT locale FROM public.accounts LIMIT 1"},
      {first + 1, "fill_locale",
       "-- tx: off\n-- phase: backfill\n-- lock_timeout: 200ms\n-- retries: 100\n-- role: pam_owner\n"
       "-- batch: 1000\n-- table: accounts\n"
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
       "AND "
       "attname = 'locale') THEN RAISE EXCEPTION 'locale may be NULL'; END IF; END $$"},
      // An index on a partitioned parent: the parent's, each partition's without blocking, attached.
      {first + 5, "client_index",
       PAM_TX
       "CREATE INDEX sessions_client_idx ON ONLY public.sessions (client_id) WHERE client_id IS NOT NULL;",
       PAM_BACK "DROP INDEX public.sessions_client_idx;", "SELECT 1"},
      {first + 6, "client_index_of_partitions",
       PAM_ALONE "-- each: sessions\nCREATE INDEX CONCURRENTLY IF NOT EXISTS {partition}_client_idx ON "
                 "public.{partition} (client_id) WHERE client_id IS NOT NULL",
       PAM_BACK "SELECT 1;", "SELECT 1"},
      {first + 7, "client_index_attached",
       PAM_TX
       "DO $$ DECLARE p name; BEGIN FOR p IN SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON "
       "c.oid "
       "= i.inhrelid WHERE i.inhparent = 'public.sessions'::regclass LOOP EXECUTE format('ALTER INDEX "
       "public.sessions_client_idx ATTACH PARTITION public.%I', p || '_client_idx'); END LOOP; END $$;",
       PAM_BACK "SELECT 1;",
       "DO $$ BEGIN IF NOT (SELECT indisvalid FROM pg_index WHERE indexrelid = "
       "'public.sessions_client_idx'::regclass) "
       "THEN RAISE EXCEPTION 'the index of sessions is not valid'; END IF; END $$"},
  }};
#undef PAM_TX
#undef PAM_ALONE
#undef PAM_BACK
}

}  // namespace pam::tests
