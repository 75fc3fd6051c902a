// Partitions: finished, made ahead, taken away.
#include "server/cli/detail/maintenance_round.hpp"

namespace pam::cli::detail {

namespace {

std::string of(const db::text_value& value) {
  return value.value_or("");
}

std::string table(const std::string& name) {
  return "public." + db::quote_identifier(name);
}

}  // namespace

// DETACH CONCURRENTLY that was interrupted leaves a partition that is neither in nor out; no other can be
// detached until it is finished.
void finish_detaches(maintenance_round& round) {
  const db::text_rows pending = round.ask(
      "detach",
      "SELECT p.relname, c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid JOIN "
      "pg_class AS "
      "p ON p.oid = i.inhparent JOIN partition_rules AS r ON r.parent = p.relname WHERE i.inhdetachpending");
  for (const db::text_row& row : pending.values) {
    round.act("detach", "finish the interrupted detach of " + of(row[1]),
              "ALTER TABLE " + table(of(row[0])) + " DETACH PARTITION " + table(of(row[1])) + " FINALIZE");
  }
}

void make_partitions(maintenance_round& round) {
  const db::text_rows missing = round.ask(
      "partitions",
      "SELECT r.parent, m.moment::text, n.name FROM partition_rules AS r, generate_series(0, $1::int) AS "
      "ahead, "
      "LATERAL (SELECT (date_trunc(r.span, statement_timestamp() AT TIME ZONE 'UTC') + ahead * ('1 ' || "
      "r.span)::interval) AT TIME ZONE 'UTC' AS moment) AS m, LATERAL (SELECT partition_name(r.parent, "
      "r.span, "
      "m.moment) AS name) AS n WHERE to_regclass('public.' || quote_ident(n.name)) IS NULL ORDER BY ahead, 1",
      {std::to_string(round.options().ahead)});
  for (const db::text_row& row : missing.values) {
    round.act("partitions", "make the partition " + of(row[2]),
              "SELECT make_partition(" + db::quote_literal(of(row[0])) + ", " +
                  db::quote_literal(of(row[1])) + ")");
  }
}

// A partition goes in two steps, so that neither waits long: out of the table, then away. Dropping one whose
// foreign key points to accounts locks accounts for a moment: the lock rule keeps sign-ins from queueing.
void drop_partitions(maintenance_round& round) {
  const bool is_citus = !round.ask("retention", "SELECT 1 FROM pg_extension WHERE extname = 'citus'").empty();
  for (const auto& [parent, keep] : round.options().keep) {
    // Attached ones and what an earlier round detached and could not drop; the name says when it ends.
    const db::text_rows old = round.ask(
        "retention",
        "SELECT c.relname, i.inhrelid IS NOT NULL, p.upper_end::date::text FROM partition_rules AS r JOIN "
        "pg_class "
        "AS c ON c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname ~ ('^' || "
        "r.parent || "
        "CASE r.span WHEN 'month' THEN '_[0-9]{6}$' ELSE '_[0-9]{8}$' END) LEFT JOIN pg_inherits AS i ON "
        "i.inhrelid "
        "= c.oid AND i.inhparent = to_regclass('public.' || quote_ident(r.parent)), LATERAL (SELECT "
        "to_timestamp(substr(c.relname, length(r.parent) + 2) || CASE r.span WHEN 'month' THEN '01' ELSE '' "
        "END, "
        "'YYYYMMDD') AT TIME ZONE 'UTC' + ('1 ' || r.span)::interval AS upper_end) AS p WHERE r.parent = $1 "
        "AND "
        "(p.upper_end AT TIME ZONE 'UTC') + make_interval(secs => $2) < statement_timestamp() ORDER BY 1",
        {parent, std::to_string(keep.count())});
    for (const db::text_row& row : old.values) {
      const std::string name = of(row[0]);
      const std::string why = ", which ended on " + of(row[2]) + " and is kept for " +
                              std::to_string(keep.count() / 86'400) + " days";
      if (of(row[1]) == "t" && !round.act("retention", "detach " + name + why,
                                          "ALTER TABLE " + table(parent) + " DETACH PARTITION " +
                                              table(name) + (is_citus ? "" : " CONCURRENTLY")))
        continue;
      round.act("retention", "drop " + name, "DROP TABLE " + table(name));
    }
  }
}

}  // namespace pam::cli::detail
