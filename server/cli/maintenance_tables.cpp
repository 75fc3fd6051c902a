// Rows and indexes: orphan claims, old heartbeats, vacuum, bloat, reports.
#include <charconv>

#include "server/cli/detail/maintenance_round.hpp"

namespace pam::cli::detail {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string of(const db::text_value& value) {
  return value.value_or("");
}

std::string object(const std::string& name) {
  return "public." + db::quote_identifier(name);
}

}  // namespace

// A claim without an account comes from shards restored to different moments, or from mistakes by hand. Ten
// minutes are more than any sign-up takes.
void free_claims(maintenance_round& round) {
  constexpr const char* orphans =
      "SELECT kind, value, account_id FROM claims AS c WHERE claimed_at < statement_timestamp() - interval "
      "'10 "
      "minutes' AND NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.id = c.account_id)";
  if (round.options().is_dry_run) {
    const db::text_rows found =
        round.ask("claims", std::string{"SELECT count(*) FROM ("} + orphans + ") AS o");
    if (!found.empty() && of(found.values[0][0]) != "0")
      round.act("claims", "free " + of(found.values[0][0]) + " claims whose accounts do not exist", "");
    return;
  }
  const std::string batch = std::string{"WITH o AS ("} + orphans +
                            " LIMIT 500) DELETE FROM claims AS c USING o WHERE c.kind = o.kind AND c.value = "
                            "o.value AND c.account_id = "
                            "o.account_id";
  const auto end = steady_clock::now() + round.options().step_limit;
  while (round.count("claims", "free claims whose accounts do not exist", batch) > 0) {
    if (steady_clock::now() >= end || round.is_busy("claims")) return;  // the next round goes on
  }
}

void forget_instances(maintenance_round& round) {
  const std::string old = " FROM app_instances WHERE seen_at < statement_timestamp() - interval '7 days'";
  if (round.options().is_dry_run) {
    const db::text_rows found = round.ask("instances", "SELECT count(*)" + old);
    if (!found.empty() && of(found.values[0][0]) != "0")
      round.act("instances", "forget " + of(found.values[0][0]) + " servers not seen for a week", "");
    return;
  }
  round.count("instances", "forget servers not seen for a week", "DELETE" + old);
}

// Twice past what autovacuum allows: it is behind, or its workers are all taken. A table that was never
// analyzed gives the planner nothing to plan with.
void vacuum_tables(maintenance_round& round) {
  const db::text_rows behind = round.ask(
      "vacuum",
      "SELECT s.relname, CASE WHEN s.last_analyze IS NULL AND s.last_autoanalyze IS NULL THEN 'never "
      "analyzed' ELSE "
      "s.n_dead_tup || ' dead rows' END FROM pg_stat_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid "
      "WHERE "
      "s.schemaname = 'public' AND c.relkind = 'r' AND ((s.last_analyze IS NULL AND s.last_autoanalyze IS "
      "NULL AND "
      "s.n_live_tup > 1000) OR s.n_dead_tup > 2 * (coalesce((SELECT split_part(o, '=', 2)::float8 FROM "
      "unnest(c.reloptions) AS o WHERE o LIKE 'autovacuum_vacuum_threshold=%'), "
      "current_setting('autovacuum_vacuum_threshold')::float8) + coalesce((SELECT split_part(o, '=', "
      "2)::float8 FROM "
      "unnest(c.reloptions) AS o WHERE o LIKE 'autovacuum_vacuum_scale_factor=%'), "
      "current_setting('autovacuum_vacuum_scale_factor')::float8) * greatest(c.reltuples, 0))) ORDER BY "
      "s.n_dead_tup "
      "DESC");
  for (const db::text_row& row : behind.values) {
    if (round.is_busy("vacuum")) return;
    round.act("vacuum", "vacuum and analyze " + of(row[0]) + ": " + of(row[1]),
              "VACUUM (ANALYZE) " + object(of(row[0])));
  }
}

// Autovacuum analyzes partitions, never the table they belong to, whose statistics plan what reads several of
// them. Nor does it know of a statistics object that was made after its last visit.
void gather_statistics(maintenance_round& round) {
  const db::text_rows stale = round.ask(
      "statistics",
      "SELECT c.relname, CASE WHEN s.last_analyze IS NULL THEN 'never analyzed as a whole' ELSE 'analyzed as "
      "a "
      "whole more than a day ago' END AS why FROM partition_rules AS r JOIN pg_class AS c ON c.oid = "
      "to_regclass('public.' || quote_ident(r.parent)) LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid "
      "WHERE (s.last_analyze IS NULL OR s.last_analyze < statement_timestamp() - interval '1 day') AND "
      "EXISTS "
      "(SELECT 1 FROM pg_inherits AS i JOIN pg_class AS p ON p.oid = i.inhrelid WHERE i.inhparent = c.oid "
      "AND "
      "p.reltuples > 0) UNION SELECT c.relname, 'the statistics object ' || x.statistics_name || ' is empty' "
      "FROM "
      "pg_stats_ext AS x JOIN pg_class AS c ON c.oid = to_regclass('public.' || quote_ident(x.tablename)) "
      "WHERE "
      "x.schemaname = 'public' AND c.relkind = 'r' AND c.reltuples > 0 AND x.n_distinct IS NULL AND "
      "x.dependencies IS NULL AND x.most_common_vals IS NULL ORDER BY 1");
  for (const db::text_row& row : stale.values) {
    if (round.is_busy("statistics")) return;
    round.act("statistics", "analyze " + of(row[0]) + ": " + of(row[1]), "ANALYZE " + object(of(row[0])));
  }
}

// The size an index would have, from its rows and the average width of its columns, with 10 % free in each
// page, against the size it has. Coarse, hence the generous limit and the smallest size.
void rebuild_indexes(maintenance_round& round) {
  const db::text_rows leftovers =
      round.ask("indexes",
                "SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE NOT "
                "i.indisvalid AND "
                "c.relkind = 'i' AND c.relnamespace = 'public'::regnamespace AND c.relname ~ "
                "'_cc(new|old)[0-9]*$' AND NOT "
                "EXISTS (SELECT 1 FROM pg_stat_progress_create_index AS p WHERE p.index_relid = c.oid)");
  for (const db::text_row& row : leftovers.values)
    round.act("indexes", "drop " + of(row[0]) + ", left by an interrupted rebuild",
              "DROP INDEX CONCURRENTLY " + object(of(row[0])));
  const db::text_rows bloated =
      round.ask("indexes",
                "WITH sized AS (SELECT c.relname, pg_relation_size(c.oid) AS bytes, c.reltuples * (20 + "
                "coalesce((SELECT "
                "sum(st.avg_width) FROM pg_attribute AS a JOIN pg_attribute AS ia ON ia.attrelid = c.oid AND "
                "ia.attnum > 0 AND "
                "ia.attname = a.attname JOIN pg_stats AS st ON st.schemaname = 'public' AND st.tablename = "
                "t.relname AND "
                "st.attname = a.attname WHERE a.attrelid = t.oid), 16)) / 0.9 + 16384 AS ideal FROM pg_index "
                "AS i JOIN pg_class "
                "AS c ON c.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_am AS m ON "
                "m.oid = c.relam AND "
                "m.amname = 'btree' WHERE c.relkind = 'i' AND t.relkind = 'r' AND c.relnamespace = "
                "'public'::regnamespace AND "
                "i.indisvalid AND c.reltuples >= 0) SELECT relname, bytes, round((100 * (1 - ideal / "
                "bytes))::numeric) FROM "
                "sized WHERE bytes > 0 AND bytes >= $1::bigint AND 100 * (1 - ideal / bytes) > $2::int ORDER "
                "BY bytes DESC",
                {std::to_string(round.options().bloat_bytes), std::to_string(round.options().bloat_percent)});
  for (const db::text_row& row : bloated.values) {
    if (round.is_busy("indexes")) return;
    round.act(
        "indexes",
        "build " + of(row[0]) + " anew: about " + of(row[2]) + " % of " + of(row[1]) + " bytes are wasted",
        "REINDEX INDEX CONCURRENTLY " + object(of(row[0])));
  }
}

void refresh_reports(maintenance_round& round) {
  const db::text_rows due = round.ask("reports",
                                      "SELECT c.relname, coalesce(round(extract(epoch FROM "
                                      "statement_timestamp() - m.finished_at)) || ' s old', "
                                      "'never refreshed') FROM pg_class AS c LEFT JOIN maintenance_steps AS "
                                      "m ON m.step = 'refresh:' || c.relname AND "
                                      "m.is_done WHERE c.relkind = 'm' AND c.relnamespace = "
                                      "'public'::regnamespace AND c.relname LIKE 'report\\_%' AND "
                                      "(m.finished_at IS NULL OR m.finished_at < statement_timestamp() - "
                                      "make_interval(secs => $1)) ORDER BY 1",
                                      {std::to_string(round.options().report_interval.count())});
  for (const db::text_row& row : due.values) {
    const std::string view = of(row[0]);
    const std::string step = "refresh:" + view;
    if (round.is_busy(step)) return;
    const auto begin = steady_clock::now();
    const bool is_done = round.act(step, "refresh " + view + ", " + of(row[1]),
                                   "REFRESH MATERIALIZED VIEW CONCURRENTLY " + object(view));
    round.note(step, std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin), is_done, "");
  }
}

}  // namespace pam::cli::detail
