#include "server/cli/schema_invariants.hpp"

#include <array>
#include <charconv>

namespace pam::cli {

namespace {

struct invariant {
  std::string_view name;
  severity how_bad;
  const char* needs;  ///< the table without which it is not asked
  const char* query;  ///< answers count and an example
  const char* sentence;
};

// A sign-up and an account that goes away are one transaction each, so a snapshot shows both or neither;
// only restored shards and mistakes by hand are found here.
constexpr std::array invariants{
    invariant{
        "account_without_claim", severity::broken, "claims",
        "SELECT count(*), min(a.id::text) FROM public.accounts AS a WHERE a.deleted_at IS NULL AND "
        "a.email IS NOT NULL AND NOT EXISTS (SELECT 1 FROM public.claims AS c WHERE c.kind = 'email' AND "
        "c.value = a.email AND c.account_id = a.id)",
        "accounts do not hold the claim of their own address: they cannot sign in by it, and another "
        "sign-up may take it. Insert the claim, or find out who holds it"},
    invariant{
        "phone_without_claim", severity::broken, "claims",
        "SELECT count(*), min(a.id::text) FROM public.accounts AS a WHERE a.deleted_at IS NULL AND "
        "a.phone IS NOT NULL AND NOT EXISTS (SELECT 1 FROM public.claims AS c WHERE c.kind = 'phone' AND "
        "c.value = a.phone AND c.account_id = a.id)",
        "accounts do not hold the claim of their own phone number: insert the claim, or find out who "
        "holds it"},
    invariant{
        "claim_without_account", severity::broken, "claims",
        "SELECT count(*), min(c.account_id::text) FROM public.claims AS c WHERE c.claimed_at < "
        "statement_timestamp() - interval '10 minutes' AND NOT EXISTS (SELECT 1 FROM public.accounts AS a "
        "WHERE a.id = c.account_id)",
        "claims belong to accounts that do not exist: nobody can sign up with these addresses. `pam-auth "
        "maintain` frees them"},
    invariant{
        "orphaned_token", severity::untidy, "one_time_tokens",
        "SELECT count(*), min(t.id::text) FROM public.one_time_tokens AS t WHERE t.used_at IS NULL AND "
        "t.expires_at > statement_timestamp() AND NOT EXISTS (SELECT 1 FROM public.accounts AS a WHERE a.id "
        "= t.account_id)",
        "open one-time tokens belong to accounts that do not exist: they find nobody and go with their "
        "day"},
    invariant{"orphaned_mail", severity::untidy, "outbox",
              "SELECT count(*), min(o.id::text) FROM public.outbox AS o WHERE NOT EXISTS (SELECT 1 FROM "
              "public.accounts AS a WHERE a.id = o.account_id)",
              "waiting messages belong to accounts that do not exist: they go with their day"},
    invariant{
        "invalid_index", severity::broken, "accounts",
        "SELECT count(*), min(c.relname::text) FROM pg_index AS i JOIN pg_class AS c ON c.oid = "
        "i.indexrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisvalid AND NOT EXISTS "
        "(SELECT 1 FROM pg_stat_progress_create_index AS p WHERE p.index_relid = c.oid)",
        "indexes are not valid: an interrupted CREATE or REINDEX CONCURRENTLY left them. Drop them; "
        "`pam-auth migrate up` builds its own again"},
    invariant{
        "unvalidated_constraint", severity::untidy, "accounts",
        "SELECT count(*), min(conname::text) FROM pg_constraint WHERE connamespace = "
        "'public'::regnamespace AND NOT convalidated",
        "constraints were never validated: old rows may break them. ALTER TABLE ... VALIDATE CONSTRAINT"},
    invariant{
        "foreign_owner", severity::broken, "accounts",
        "SELECT count(*), min(relname::text) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND "
        "relkind IN ('r', 'p', 'm', 'v', 'S') AND pg_get_userbyid(relowner) <> 'pam_owner' AND NOT EXISTS "
        "(SELECT 1 FROM pg_depend AS d WHERE d.objid = pg_class.oid AND d.deptype = 'e')",
        "tables do not belong to pam_owner: migrations and maintenance cannot change them. ALTER TABLE ... "
        "OWNER TO pam_owner"},
    invariant{
        "missing_partition", severity::broken, "partition_rules",
        "SELECT count(*), min(parent) FROM public.partition_state() WHERE NOT has_current OR NOT has_next",
        "tables lack the current or the next partition: run `pam-auth maintain`"},
    invariant{"few_partitions_ahead", severity::untidy, "partition_rules",
              "SELECT count(*), min(parent) FROM public.partition_state() WHERE has_next AND ahead < 2",
              "tables have fewer than two partitions ahead: does `pam-auth maintain` run?"},
    invariant{
        "interrupted_detach", severity::untidy, "partition_rules",
        "SELECT count(*), min(parent) FROM public.partition_state() WHERE is_detach_pending",
        "tables have a partition whose DETACH CONCURRENTLY was interrupted: `pam-auth maintain` finishes "
        "it"},
    invariant{"unfinished_backfill", severity::untidy, "schema_backfills",
              "SELECT count(*), min(name) FROM public.schema_backfills WHERE finished_at IS NULL",
              "backfills began and did not end: `pam-auth migrate backfill` goes on"},
};

std::int64_t as_integer(const db::text_value& text) {
  std::int64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

migration_error failed(std::string_view name, const db::error& failure) {
  return {migration_errc::failed,
          "The invariant " + std::string{name} + " could not be checked: " + failure.detail + "."};
}

migration_result<void> check_those(db::admin_connection& connection, severity wanted,
                                   std::vector<finding>& found) {
  for (const invariant& each : invariants) {
    if (each.how_bad != wanted) continue;
    const auto exists = connection.query("SELECT to_regclass('public.' || $1) IS NOT NULL", {each.needs});
    if (exists.has_error()) return failed(each.name, exists.error());
    if (exists->values[0][0] == "f") continue;
    const auto answer = connection.query(each.query);
    if (answer.has_error()) return failed(each.name, answer.error());
    const std::int64_t count = as_integer(answer->values[0][0]);
    if (count == 0) continue;
    found.push_back({.name = each.name,
                     .how_bad = each.how_bad,
                     .count = count,
                     .example = answer->values[0][1].value_or(""),
                     .sentence = each.sentence});
  }
  return {};
}

}  // namespace

migration_result<std::vector<finding>> check_invariants(db::admin_connection& connection) {
  std::vector<finding> found;
  for (const severity wanted : {severity::broken, severity::untidy}) {
    const auto checked = check_those(connection, wanted, found);
    if (checked.has_error()) return checked.error();
  }
  return found;
}

}  // namespace pam::cli
