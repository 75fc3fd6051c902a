#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "bench/database/load.hpp"
#include "bench/database/parts.hpp"

namespace pam::bench {

namespace {

double number(db::admin_connection& on, const std::string& sql) {
  return std::strtod(value(on, sql).c_str(), nullptr);
}

finding at_most(const char* name, double ours, double limit, const char* unit) {
  finding one;
  one.name = name;
  one.ours = ours;
  one.target = limit;
  one.less_is_better = true;
  one.unit = unit;
  return one;
}

}  // namespace

// The second of two passes counts: the first one has written the full-page images since the checkpoint.
void measure_cost(const plan& how, report& into) {
  const hot_statement refresh = refresh_statement();
  auto on = connect(how, how.database);
  run(on, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
  plan few = how;
  few.sessions = std::min<std::int64_t>(how.sessions, 5000);
  const load what{few, routes[0], refresh, std::chrono::seconds{how.seconds}, false};
  static_cast<void>(closed_loop(what, 64));
  run(on, "SELECT pg_stat_statements_reset()");
  run(on, "SELECT pg_stat_reset()");
  const our_sample counted = closed_loop(what, 64);
  run(on, "SELECT pg_stat_force_next_flush()");

  const std::string ours = " FROM pg_stat_statements WHERE query LIKE 'WITH s AS (UPDATE sessions%'";
  // Several refreshes travel as one statement.
  const auto calls = static_cast<double>(counted.latencies.size());
  const double statements = number(on, "SELECT sum(calls)" + ours);
  const double wal = number(on, "SELECT sum(wal_bytes - 8192 * wal_fpi)" + ours) / calls;
  const double images = number(on, "SELECT sum(wal_fpi)" + ours);
  const std::string tables = " FROM pg_stat_user_tables WHERE relname LIKE 'sessions%'";
  const double updates = number(on, "SELECT sum(n_tup_upd)" + tables) / calls;
  const double inserts = number(on, "SELECT sum(n_tup_ins) FROM pg_stat_user_tables") / calls;
  const double hot = number(on, "SELECT sum(n_tup_hot_upd)::float8 / sum(n_tup_upd)" + tables);
  const double partitions = number(on, "SELECT sum(idx_scan + seq_scan)" + tables) / calls;
  into.add(at_most("P8/updates", updates, 1, "a refresh"));
  into.add(at_most("P8/inserts", inserts, 0, "a refresh"));
  finding share = at_most("P8/hot", hot, 0.95, "of the updates");
  share.less_is_better = false;
  into.add(share);
  into.add(at_most("P8/partitions", partitions, 1, "scanned a refresh"));
  finding bytes = at_most("P8/wal", wal, 320, "bytes a refresh, without full-page images");
  bytes.note = fmt::format("{:.0f} refreshes in {:.0f} statements, {:.0f} full-page images", calls,
                           statements, images);
  bytes.samples =
      fmt::format(R"({{"calls":{:.0f},"wal_bytes":{:.1f},"full_page_images":{:.0f}}})", calls, wal, images);
  into.add(bytes);
}

}  // namespace pam::bench
