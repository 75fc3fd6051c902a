#include "server/cli/instance_gate.hpp"

#include <string>

namespace pam::cli {

namespace {

// A server that stopped without a word is taken for gone after five missed heartbeats.
constexpr const char* live_older = R"(
SELECT host, pid, version, schema_version FROM public.app_instances
 WHERE ended_at IS NULL AND seen_at > statement_timestamp() - interval '60 seconds' AND schema_version < $1
 ORDER BY seen_at DESC LIMIT 1)";
constexpr const char* live_newer = R"(
SELECT host, pid, version, schema_version FROM public.app_instances
 WHERE ended_at IS NULL AND seen_at > statement_timestamp() - interval '60 seconds' AND schema_version >= $1
 ORDER BY seen_at DESC LIMIT 1)";

migration_error lost(const db::error& failure) {
  return {migration_errc::failed, "The heartbeats of the servers could not be read: " + failure.detail + "."};
}

}  // namespace

migration_result<void> check_instances(db::admin_connection& connection, int version, std::string_view name,
                                       endangered who) {
  const bool is_up = who == endangered::older;
  const auto exists = connection.query("SELECT to_regclass('public.app_instances') IS NOT NULL");
  if (exists.has_error()) return lost(exists.error());
  if (exists->values[0][0] == "f") {
    if (!is_up) return {};  // no server of this schema writes heartbeats; going back from it is the past
    return migration_error{migration_errc::guarded,
                           "Migration " + std::string{name} +
                               " takes something away (phase contract) and this schema has no heartbeats to "
                               "ask: allow it once every server of the previous version has stopped."};
  }
  const auto found = connection.query(is_up ? live_older : live_newer, {std::to_string(version)});
  if (found.has_error()) return lost(found.error());
  if (found->empty()) return {};
  const db::text_row& row = found->values[0];
  const std::string server = "The server " + row[2].value_or("?") + " on " + row[0].value_or("?") +
                             " (process " + row[1].value_or("?") + ") was built with migration " +
                             row[3].value_or("?");
  return migration_error{
      migration_errc::guarded,
      is_up ? server + " and still runs: migration " + std::string{name} +
                  " takes away what it may use. Stop it, wait a minute, or allow it (--allow-contract)."
            : server + " and still runs: going back below " + std::string{name} +
                  " takes away what it uses. Stop it, wait a minute, or allow it (--allow-contract)."};
}

}  // namespace pam::cli
