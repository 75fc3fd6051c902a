#pragma once

#include <array>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "db/admin_connection.hpp"

namespace pam::tests {

/// Where the rows of a table lie in phase 3 (docs/database.md, Sharding).
enum class placement : std::uint8_t {
  distributed,  ///< by a column; tables of one group have equal values on one node
  reference,    ///< whole on every node
  local,        ///< on the coordinator alone
};

struct placed_table {
  std::string_view name;
  placement where = placement::local;
  std::string_view column = "";
  std::string_view group = "";
};

/// Every table of the product. A table that a migration adds is put here, or the check names it.
inline constexpr std::array placed_tables{
    placed_table{"accounts", placement::distributed, "id", "accounts"},
    placed_table{"identities", placement::distributed, "account_id", "accounts"},
    placed_table{"sessions", placement::distributed, "account_id", "accounts"},
    placed_table{"factors", placement::distributed, "account_id", "accounts"},
    placed_table{"webauthn_credentials", placement::distributed, "account_id", "accounts"},
    placed_table{"recovery_codes", placement::distributed, "account_id", "accounts"},
    placed_table{"one_time_tokens", placement::distributed, "account_id", "accounts"},
    placed_table{"auth_events", placement::distributed, "account_id", "accounts"},
    placed_table{"claims", placement::distributed, "value", "claims"},
    placed_table{"flow_states", placement::distributed, "id", "flow_states"},
    placed_table{"outbox", placement::distributed, "bucket", "outbox"},
    placed_table{"token_cut", placement::reference},
    placed_table{"signing_keys", placement::reference},
    placed_table{"import_jobs", placement::reference},
    placed_table{"app_instances", placement::reference},
    placed_table{"maintenance_steps", placement::reference},
    placed_table{"partition_rules", placement::reference},
    placed_table{"schema_migrations", placement::local},
    placed_table{"schema_backfills", placement::local},
};

/// What phase 3 changes before it distributes the tables.
inline constexpr const char* phase_3_keys =
    "ALTER TABLE accounts DROP CONSTRAINT accounts_email_key;"
    "ALTER TABLE sessions DROP CONSTRAINT sessions_pkey, DROP CONSTRAINT sessions_account_id_id_key, ADD "
    "CONSTRAINT sessions_pkey PRIMARY KEY (account_id, id);"
    "ALTER TABLE one_time_tokens DROP CONSTRAINT one_time_tokens_pkey, ADD CONSTRAINT one_time_tokens_pkey "
    "PRIMARY KEY (account_id, id)";

/// Every breach of what Citus asks of tables, one a line, sorted: "sessions: sessions_pkey lacks account_id".
/// Reads the catalogue of the connected database; partitions follow their parents.
inline std::vector<std::string> shard_breaches(db::admin_connection& connection) {
  std::string placed;
  for (const placed_table& each : placed_tables) {
    const auto literal = [](std::string_view text) { return db::quote_literal(text); };
    placed += (placed.empty() ? "(" : ", (") + literal(each.name) + ", " +
              (each.where == placement::distributed ? "'d'"
               : each.where == placement::reference ? "'r'"
                                                    : "'l'") +
              ", " + literal(each.column) + ", " + literal(each.group) + ")";
  }
  const std::string sql = "WITH placed (name, kind, col, grp) AS (VALUES " + placed + R"(),
here AS (
  SELECT c.oid, c.relname::text AS name FROM pg_class AS c
   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition),
t AS (
  SELECT h.oid, p.name, p.kind, p.grp, p.col, a.attnum, a.attnotnull, a.atttypid, a.attcollation
    FROM placed AS p JOIN here AS h ON h.name = p.name
    LEFT JOIN pg_attribute AS a ON a.attrelid = h.oid AND a.attname = p.col AND NOT a.attisdropped),
fk AS (
  SELECT con.conname, con.confdeltype, con.confupdtype, s.name AS source, s.kind AS source_kind, d.name AS target,
         d.kind AS target_kind, s.grp IS NOT DISTINCT FROM d.grp AS is_one_group,
         EXISTS (SELECT 1 FROM unnest(con.conkey, con.confkey) AS k (here, there)
                  WHERE k.here = s.attnum AND k.there = d.attnum) AS has_column,
         s.attnum = ANY (con.conkey) AS names_column
    FROM pg_constraint AS con JOIN t AS s ON s.oid = con.conrelid JOIN t AS d ON d.oid = con.confrelid
   WHERE con.contype = 'f')
SELECT breach FROM (
  SELECT name || ': is placed nowhere' FROM here WHERE name NOT IN (SELECT name FROM placed)
  UNION ALL SELECT name || ': is placed and not there' FROM placed WHERE name NOT IN (SELECT name FROM here)
  UNION ALL SELECT name || ': has no column ' || col FROM t WHERE kind = 'd' AND attnum IS NULL
  UNION ALL SELECT name || ': ' || col || ' may be NULL' FROM t WHERE kind = 'd' AND NOT attnotnull
  UNION ALL SELECT t.name || ': ' || t.col || ' has another type than ' || o.name || '.' || o.col
    FROM t JOIN t AS o ON o.grp = t.grp AND o.name = o.grp
   WHERE t.kind = 'd' AND (t.atttypid, t.attcollation) IS DISTINCT FROM (o.atttypid, o.attcollation)
  UNION ALL SELECT t.name || ': has no primary key' FROM t WHERE NOT EXISTS (
    SELECT 1 FROM pg_index AS i WHERE i.indrelid = t.oid AND i.indisprimary)
  UNION ALL SELECT t.name || ': ' || c.relname || ' lacks ' || t.col
    FROM t JOIN pg_index AS i ON i.indrelid = t.oid AND (i.indisunique OR i.indisexclusion)
    JOIN pg_class AS c ON c.oid = i.indexrelid
   WHERE t.kind = 'd' AND NOT EXISTS (
     SELECT 1 FROM generate_series(0, i.indnkeyatts - 1) AS n
       LEFT JOIN pg_constraint AS x ON x.conindid = i.indexrelid AND x.contype = 'x'
       LEFT JOIN pg_operator AS op ON op.oid = x.conexclop[n + 1]
      WHERE i.indkey[n] = t.attnum AND coalesce(op.oprname, '=') = '=')
  UNION ALL SELECT source || ': ' || conname || ' leads to ' || target || ', which lies elsewhere' FROM fk
   WHERE NOT CASE source_kind || target_kind WHEN 'dd' THEN is_one_group AND has_column WHEN 'dr' THEN true
                  WHEN 'rr' THEN true WHEN 'lr' THEN true WHEN 'll' THEN true ELSE false END
  UNION ALL SELECT source || ': ' || conname || ' would change the column it is distributed by' FROM fk
   WHERE source_kind = 'd' AND names_column AND (confdeltype IN ('n', 'd') OR confupdtype IN ('c', 'n', 'd'))
  UNION ALL SELECT t.name || ': has the trigger ' || g.tgname FROM t JOIN pg_trigger AS g ON g.tgrelid = t.oid
   WHERE NOT g.tgisinternal
  UNION ALL SELECT t.name || ': has the rule ' || r.rulename FROM t JOIN pg_rewrite AS r ON r.ev_class = t.oid
  UNION ALL SELECT t.name || ': inherits from another table' FROM t JOIN pg_inherits AS i ON i.inhrelid = t.oid
  UNION ALL SELECT t.name || ': ' || a.attname || ' takes its values from a sequence'
    FROM t JOIN pg_attribute AS a ON a.attrelid = t.oid AND NOT a.attisdropped AND a.attnum > 0
    LEFT JOIN pg_attrdef AS d ON d.adrelid = t.oid AND d.adnum = a.attnum
   WHERE a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval(%'
) AS all_of_them (breach) ORDER BY 1)";
  const auto found = connection.query(sql);
  if (found.has_error()) throw std::runtime_error(found.error().detail);
  std::vector<std::string> breaches;
  for (const db::text_row& row : found->values) breaches.push_back(row[0].value_or(""));
  return breaches;
}

}  // namespace pam::tests
