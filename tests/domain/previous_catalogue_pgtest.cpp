// Blue and green run side by side on one schema: the statements of the previous release are served by the
// schema of today, and those of today by a schema that a later release has already expanded.
//
// tests/domain/previous_catalogue.txt holds the previous release's statements. At a release, before its tag:
//   PAM_WRITE_CATALOGUE="$PWD/tests/domain/previous_catalogue.txt" ./dev test --only schema
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "server/auth/statements.hpp"
#include "server/cli/migration_runner.hpp"
#include "tests/domain/recipes.hpp"
#include "tests/domain/shard_rules.hpp"
#include "tests/support/test_database.hpp"

namespace {

/// A statement as a binary sends it, with the columns it reads: type names, which are stable across versions.
struct witness {
  std::string parameters;  ///< "uuid, bytea"
  std::string results;
  std::string sql;

  bool operator==(const witness&) const = default;
};

void PrintTo(const witness& what, std::ostream* out) {
  *out << "(" << what.parameters << ") -> (" << what.results << ")\n" << what.sql;
}

std::string path_of_file() {
  const std::string path = "tests/domain/previous_catalogue.txt";
  auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  while (!std::filesystem::exists(folder / path) && folder != folder.root_path())
    folder = folder.parent_path();
  return folder / path;
}

/// Pairs of lines after the comments: types, then the SQL.
std::vector<witness> read_witnesses(const std::string& path) {
  std::ifstream file{path};
  if (!file) throw std::runtime_error(path + " is not there");
  std::vector<witness> found;
  for (std::string types, sql; std::getline(file, types);) {
    if (types.empty() || types[0] == '#') continue;
    const auto arrow = types.find(") -> (");
    if (types[0] != '(' || arrow == std::string::npos || !std::getline(file, sql))
      throw std::runtime_error(path + ": \"" + types + "\" is not a line of types before one of SQL");
    found.push_back({types.substr(1, arrow - 1), types.substr(arrow + 6, types.size() - arrow - 7), sql});
  }
  return found;
}

/// What PostgreSQL says of a statement to whoever prepares it as the server does, by the server's role.
class describer {
 public:
  explicit describer(const pam::tests::test_database& database)
      : admin_(database.open()), connection_(nullptr, PQfinish) {
    const std::string where = "host=" + pam::tests::service("PAM_TEST_PG_SOCKET_DIR") +
                              " port=" + pam::tests::service("PAM_TEST_PG_PORT") +
                              " dbname=" + database.name() + " user=pam_app";
    connection_.reset(PQconnectdb(where.c_str()));
    if (PQstatus(connection_.get()) != CONNECTION_OK)
      throw std::runtime_error(PQerrorMessage(connection_.get()));
  }

  /// @return the statement with the types PostgreSQL names, or PostgreSQL's refusal as its results
  witness describe(const std::string& parameters, const std::string& sql) {
    witness seen{parameters, "", sql};
    const std::vector<Oid> types = oids_of(parameters);
    result prepared{
        PQprepare(connection_.get(), "w", sql.c_str(), static_cast<int>(types.size()), types.data()),
        PQclear};
    if (PQresultStatus(prepared.get()) != PGRES_COMMAND_OK) return refused(seen);
    const result described{PQdescribePrepared(connection_.get(), "w"), PQclear};
    for (int column = 0; column < PQnfields(described.get()); ++column)
      seen.results += (column > 0 ? ", " : "") + name_of(PQftype(described.get(), column));
    // A generic plan needs no values, and has to exist: rights on tables and partitions are judged here.
    std::string nulls;
    for (std::size_t i = 0; i < types.size(); ++i) nulls += i > 0 ? ", NULL" : "NULL";
    const std::string explain = "SET plan_cache_mode = force_generic_plan; EXPLAIN EXECUTE w" +
                                (nulls.empty() ? "" : "(" + nulls + ")");
    const result explained{PQexec(connection_.get(), explain.c_str()), PQclear};
    if (PQresultStatus(explained.get()) != PGRES_TUPLES_OK) return refused(seen);
    const result forgotten{PQexec(connection_.get(), "DEALLOCATE w"), PQclear};
    return seen;
  }

  std::string name_of(Oid type) {
    const auto found = admin_.query("SELECT $1::oid::regtype::text", {std::to_string(type)});
    return found.has_value() ? found->values[0][0].value_or("?") : found.error().detail;
  }

 private:
  using result = std::unique_ptr<PGresult, decltype(&PQclear)>;

  witness refused(witness seen) {
    seen.results = PQerrorMessage(connection_.get());
    const result forgotten{PQexec(connection_.get(), "DEALLOCATE ALL"), PQclear};
    return seen;
  }

  std::vector<Oid> oids_of(const std::string& names) {
    std::vector<Oid> types;
    const auto found = admin_.query(
        "SELECT to_regtype(n)::oid::text FROM regexp_split_to_table(nullif($1, ''), ', ') WITH ORDINALITY AS "
        "t (n, "
        "o) ORDER BY o",
        {names});
    if (found.has_error()) throw std::runtime_error(found.error().detail);
    for (const auto& row : found->values) types.push_back(static_cast<Oid>(std::stoul(row[0].value_or("0"))));
    return types;
  }

  pam::db::admin_connection admin_;
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

std::vector<witness> statements_of_today(describer& on) {
  std::vector<witness> all;
  for (const pam::db::statement* what : pam::auth::statement_catalogue()) {
    std::string parameters;
    for (std::size_t i = 0; i < what->parameter_count; ++i)
      parameters += (i > 0 ? ", " : "") + on.name_of(static_cast<Oid>(what->parameter_types[i]));
    all.push_back(on.describe(parameters, std::string{what->sql}));
  }
  return all;
}

void migrate(const pam::tests::test_database& database, const pam::tests::recipe& more = {}) {
  const auto embedded = pam::migrations::embedded_migrations();
  std::vector<pam::migrations::migration> known{embedded.begin(), embedded.end()};
  known.insert(known.end(), more.begin(), more.end());
  pam::cli::migration_options options;
  options.known = known;
  options.pace.duty = 1;
  auto connection = database.open();
  const auto done = pam::cli::migrate_up(connection, options);
  ASSERT_TRUE(done.has_value()) << done.error().sentence;
}

TEST(blue_green, schema_of_today_serves_the_statements_of_the_previous_release) {
  const pam::tests::test_database database;
  migrate(database);
  describer on{database};
  if (const char* file = std::getenv("PAM_WRITE_CATALOGUE"); file != nullptr) {
    std::ofstream out{file};
    out << "# Every statement of release " << pam::migrations::build_version() << ", at migration "
        << pam::migrations::embedded_migrations().back().version
        << ": parameters, columns, SQL. Written by previous_catalogue_pgtest.cpp.\n";
    for (const witness& each : statements_of_today(on))
      out << "(" << each.parameters << ") -> (" << each.results << ")\n" << each.sql << "\n";
    ASSERT_TRUE(out.flush()) << "could not write " << file;
  }
  const auto previous = read_witnesses(path_of_file());

  EXPECT_GT(previous.size(), 20U);
  for (const witness& each : previous) EXPECT_EQ(on.describe(each.parameters, each.sql), each);
}

TEST(blue_green, schema_of_the_next_release_serves_the_statements_of_today) {
  const int first = pam::migrations::embedded_migrations().back().version + 1;
  const std::pair<const char*, pam::tests::recipe> expansions[] = {
      {"a NOT NULL column", pam::tests::not_null_column(first)},
      {"an index on a partitioned table", pam::tests::partitioned_index(first)},
      {"a table partitioned", pam::tests::partitioned_table(first)},
  };
  const pam::tests::test_database today;
  migrate(today);
  describer on_today{today};
  const auto expected = statements_of_today(on_today);
  for (const auto& [name, recipe] : expansions) {
    const pam::tests::test_database database;
    migrate(database, recipe);
    describer on{database};

    EXPECT_EQ(statements_of_today(on), expected) << name;
  }
}

// Sharding changes keys before it distributes the tables: the binary that runs does not notice.
TEST(blue_green, keys_of_phase_3_serve_the_statements_of_today) {
  const pam::tests::test_database database;
  migrate(database);
  describer on{database};
  const auto expected = statements_of_today(on);
  auto owner = database.open();
  ASSERT_TRUE(owner.run(pam::tests::phase_3_keys).has_value());

  EXPECT_EQ(statements_of_today(on), expected);
}

TEST(blue_green, a_column_taken_away_or_of_another_type_is_noticed) {
  const pam::tests::test_database database;
  migrate(database);
  auto owner = database.open();
  ASSERT_TRUE(owner
                  .run("ALTER TABLE sessions DROP COLUMN user_agent;"
                       "ALTER TABLE sessions ALTER COLUMN generation TYPE bigint")
                  .has_value());
  describer on{database};

  int dropped = 0;
  int changed = 0;
  for (const witness& each : read_witnesses(path_of_file())) {
    const witness seen = on.describe(each.parameters, each.sql);
    if (seen == each) continue;
    (seen.results.find("user_agent") != std::string::npos ? dropped : changed) += 1;
  }

  EXPECT_GT(dropped, 0);
  EXPECT_GT(changed, 0);
}

}  // namespace
