#include "server/cli/migration_preview.hpp"

#include <charconv>

namespace pam::cli {

namespace {

constexpr const char* read_size = R"(
SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint, coalesce(sum(pg_table_size(c.oid)), 0)::bigint
  FROM pg_class AS c
 WHERE c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass('public.' || quote_ident($1))) WHERE isleaf
                 UNION SELECT to_regclass('public.' || quote_ident($1))))";

std::int64_t as_integer(const db::text_value& text) {
  std::int64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

/// Rows a second, deliberately low: two cores, a cold cache.
std::int64_t rate_of(table_work work) {
  switch (work) {
    case table_work::scan:
      return 500'000;
    case table_work::build:
      return 200'000;
    case table_work::rewrite:
      return 100'000;
    case table_work::rows:
      return 10'000;
    case table_work::nothing:
      break;
  }
  return 0;
}

}  // namespace

std::string expected_time(const previewed_statement& of) {
  if (of.what.lock == table_lock::unknown) return "unknown";
  const std::int64_t rate = rate_of(of.what.work);
  if (rate == 0) return "at once";
  const std::int64_t seconds = of.rows / rate;
  if (seconds < 1) return "under 1 s";
  if (seconds < 120) return "about " + std::to_string(seconds) + " s";
  return "about " + std::to_string(seconds / 60) + " min";
}

migration_result<std::vector<previewed_migration>> migrate_plan(db::admin_connection& connection,
                                                                const migration_options& options) {
  const auto ledger = read_ledger(connection);
  if (ledger.has_error()) return ledger.error();
  const auto plan = judge(options.known, *ledger);
  if (plan.has_error()) return plan.error();
  std::vector<previewed_migration> all;
  for (const migrations::migration& what : options.known.subspan(plan->first)) {
    if (options.target > 0 && what.version > options.target) break;
    const auto how = parse_directives(what.up, display_name(what) + ".up.sql");
    if (how.has_error()) return how.error();
    previewed_migration next{.name = display_name(what), .how = *how, .statements = {}};
    for (forecast& each : forecast_script(what.up)) {
      previewed_statement statement{.what = std::move(each)};
      if (!statement.what.table.empty()) {
        const auto size = connection.query(read_size, {statement.what.table});
        if (size.has_error())
          return migration_error{
              migration_errc::failed,
              "The size of " + statement.what.table + " could not be read: " + size.error().detail + "."};
        statement.rows = as_integer(size->values[0][0]);
        statement.bytes = as_integer(size->values[0][1]);
      }
      next.statements.push_back(std::move(statement));
    }
    all.push_back(std::move(next));
  }
  return all;
}

}  // namespace pam::cli
