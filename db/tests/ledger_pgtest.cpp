// Random statements, some of which fail, on connections that die, over rows that strangers lock: whatever
// the callers were told is what the tables hold.
//
// PAM_DB_LEDGER_STATEMENTS sets how many statements run in each way to the server (here 1,000).
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "db/database.hpp"
#include "db/tests/citus_stand_in.hpp"
#include "db/tests/pg_fixture.hpp"

namespace pam::db {
namespace {

using namespace testing;

constexpr statement::options of_a_cell{.rank = lock_rank::other, .conflict_key = 0};
constexpr statement put_several{
    "WITH done AS (UPDATE cells SET value = k.p2 FROM (SELECT * FROM unnest((SELECT $1), (SELECT $2)) "
    "WITH ORDINALITY AS k(p1, p2, n) LIMIT (SELECT cardinality($1))) k WHERE cells.id = ANY (ARRAY[k.p1]) "
    "RETURNING k.n, cells.value) SELECT * FROM done ORDER BY n",
    types(pg_type::int8_array, pg_type::int8_array), of_a_cell};
constexpr statement put{"UPDATE cells SET value = $2 WHERE id = $1 RETURNING value",
                        types(pg_type::int8, pg_type::int8),
                        {.rank = lock_rank::other, .conflict_key = 0, .together = &put_several}};
constexpr statement::options once_of_a_cell{
    .repeat = repeat::once, .rank = lock_rank::other, .conflict_key = 0};
constexpr statement add_several{
    "WITH done AS (UPDATE cells SET value = cells.value + k.p2 FROM (SELECT * FROM unnest((SELECT $1), "
    "(SELECT $2)) WITH ORDINALITY AS k(p1, p2, n) LIMIT (SELECT cardinality($1))) k "
    "WHERE cells.id = ANY (ARRAY[k.p1]) RETURNING k.n, cells.value) SELECT * FROM done ORDER BY n",
    types(pg_type::int8_array, pg_type::int8_array), once_of_a_cell};
constexpr statement add{
    "UPDATE cells SET value = value + $2 WHERE id = $1 RETURNING value",
    types(pg_type::int8, pg_type::int8),
    {.repeat = repeat::once, .rank = lock_rank::other, .conflict_key = 0, .together = &add_several}};
constexpr statement divide{"UPDATE cells SET value = value / ($2 - $2) WHERE id = $1",
                           types(pg_type::int8, pg_type::int8), of_a_cell};
constexpr statement note{"INSERT INTO notes (id, cell) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
                         types(pg_type::int8, pg_type::int8), of_a_cell};
// Its foreign key is checked at commit: the error has no culprit.
constexpr statement orphan{
    "INSERT INTO late (id, cell) VALUES ($1, $2)", types(pg_type::int8, pg_type::int8), {}};
constexpr statement get{"SELECT value FROM cells WHERE id = $1", types(pg_type::int8), {}};
constexpr statement get_note{"SELECT count(*) FROM notes WHERE id = $1", types(pg_type::int8), {}};
constexpr std::array<const statement*, 9> catalogue{&put,  &put_several, &add, &add_several, &divide,
                                                    &note, &orphan,      &get, &get_note};

constexpr std::int64_t cells = 48;
constexpr int statements_between_kills = 211;
constexpr int statements_between_locks = 37;

std::int64_t wanted_statements() {
  const char* text = std::getenv("PAM_DB_LEDGER_STATEMENTS");
  return text == nullptr ? 1000 : std::strtoll(text, nullptr, 10);
}

params pair_of(std::int64_t a, std::int64_t b) {
  params values;
  values.add(a).add(b);
  return values;
}
params only(std::int64_t a) {
  params values;
  values.add(a);
  return values;
}

/// What has happened outside: backends die, rows are locked by somebody else.
class chaos {
 public:
  chaos(scratch_database& of, std::uint32_t seed) : of_(of), random_(seed) {}

  void after_statement() {
    ++count_;
    if (count_ % statements_between_kills == 0) kill();
    if (count_ % statements_between_locks == 0) lock_or_unlock();
  }
  void end() {
    if (is_locked_) must(locker_.run("ROLLBACK"));
    is_locked_ = false;
  }
  [[nodiscard]] int kills() const { return kills_; }
  [[nodiscard]] int locks() const { return locks_; }

 private:
  static void must(const result<void>& done) {
    if (done.has_error()) throw std::runtime_error(done.error().detail);
  }
  void kill() {
    ++kills_;
    of_.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid NOT IN (pg_backend_pid(), " +
        std::to_string(locker_.backend_pid()) + ") AND random() < 0.7");
  }
  void lock_or_unlock() {
    if (is_locked_) {
      end();
      return;
    }
    const auto cell = std::uniform_int_distribution<std::int64_t>{0, cells - 1}(random_);
    must(locker_.run("BEGIN"));
    // Not by force: a batch under way may hold the row and would wait for us in turn.
    must(locker_.run("SELECT 1 FROM cells WHERE id = " + std::to_string(cell) + " FOR UPDATE SKIP LOCKED"));
    is_locked_ = true;
    ++locks_;
  }

  scratch_database& of_;
  std::mt19937 random_;
  admin_connection locker_ = connect_admin(of_.name());
  std::int64_t count_ = 0;
  int kills_ = 0;
  int locks_ = 0;
  bool is_locked_ = false;
};

/// One caller, the only one who writes its cell: what it was told says what the cell holds.
class owner {
 public:
  /// @param is_atomic  else nobody may fail at commit: the stand-in cannot say whose commit failed
  owner(database& db, chaos& outside, std::int64_t cell, bool is_atomic)
      : db_(db), outside_(outside), cell_(cell), is_atomic_(is_atomic) {
    random_.seed(static_cast<std::uint32_t>(cell));
  }

  asio::awaitable<void> work(std::int64_t statements) {
    for (std::int64_t i = 0; i < statements && !::testing::Test::HasFailure(); ++i) {
      co_await step();
      outside_.after_statement();
    }
  }
  [[nodiscard]] std::int64_t value() const { return value_; }
  [[nodiscard]] std::int64_t notes() const { return notes_; }
  [[nodiscard]] int unknown() const { return unknown_; }
  [[nodiscard]] int rejected() const { return rejected_; }

 private:
  asio::awaitable<void> step() {
    const std::int64_t operand = pick(1000);
    switch (pick(12)) {
      case 0:
        co_await expect_rejection(divide, pair_of(cell_, operand), "22012");
        break;
      case 1:
        if (is_atomic_) co_await expect_rejection(orphan, pair_of(next_id(), -1), "23503");
        break;
      case 2:  // a value the table refuses
        co_await expect_rejection(put, pair_of(cell_, -1 - operand), "23514");
        break;
      case 3:
      case 4:
        co_await write_note();
        break;
      case 5:
      case 6:
      case 7:
        co_await change(add, operand, value_ + operand);
        break;
      case 8:
      case 9:
      case 10:
        co_await change(put, operand, operand);
        break;
      default:
        EXPECT_EQ(co_await read(get, cell_), value_);
    }
  }

  // A change takes place or does not, and says which; when it cannot say, the cell does.
  asio::awaitable<void> change(const statement& what, std::int64_t operand, std::int64_t becomes) {
    const auto got = co_await db_.execute(what, pair_of(cell_, operand), within(20s));
    if (got.has_value()) {
      EXPECT_EQ(got->size(), 1U);
      if (got->size() == 1) EXPECT_EQ(got->int8(0, 0), becomes) << "not what this caller's change gives";
      value_ = becomes;
    } else if (is_unknown(got.error())) {
      const std::int64_t now = co_await read(get, cell_);
      EXPECT_TRUE(now == value_ || now == becomes) << now << " is neither " << value_ << " nor " << becomes;
      value_ = now;
    }
  }

  asio::awaitable<void> write_note() {
    const std::int64_t id = next_id();
    const auto got = co_await db_.execute(note, pair_of(id, cell_), within(20s));
    if (got.has_value()) {
      ++notes_;
    } else if (is_unknown(got.error())) {
      notes_ += co_await read(get_note, id);
    }
  }

  asio::awaitable<void> expect_rejection(const statement& what, params values, const char* state) {
    const auto got = co_await db_.execute(what, std::move(values), within(20s));
    EXPECT_TRUE(got.has_error());
    // A row a stranger has locked, or a connection that died, may come first.
    if (got.has_error() && !is_unknown(got.error()) && got.error().sqlstate != "55P03") {
      EXPECT_EQ(got.error().sqlstate, state) << got.error().detail;
    }
  }

  // Reads may be repeated as often as it takes.
  asio::awaitable<std::int64_t> read(const statement& what, std::int64_t key) {
    while (!::testing::Test::HasFailure()) {
      const auto got = co_await db_.execute(what, only(key), within(20s));
      if (got.has_value()) co_return got->int8(0, 0);
      EXPECT_NE(got.error().code, errc::rejected) << got.error().sqlstate << " " << got.error().detail;
    }
    co_return -1;
  }

  bool is_unknown(const error& failure) {
    const bool is = failure.outcome == outcome::unknown;
    ++(is ? unknown_ : rejected_);
    return is;
  }
  std::int64_t pick(std::int64_t below) {
    return std::uniform_int_distribution<std::int64_t>{0, below - 1}(random_);
  }
  std::int64_t next_id() { return cell_ + cells * ++ids_; }

  database& db_;
  chaos& outside_;
  std::int64_t cell_;
  bool is_atomic_;
  std::mt19937 random_;
  std::int64_t ids_ = 0;
  std::int64_t value_ = 0;
  std::int64_t notes_ = 0;
  int unknown_ = 0;
  int rejected_ = 0;
};

/// The tables, and the statements that run on them.
class ledger {
 public:
  ledger() {
    scratch_.run(
        "CREATE TABLE cells (id int8 PRIMARY KEY, value int8 NOT NULL DEFAULT 0 CHECK (value >= 0));"
        "CREATE TABLE notes (id int8 PRIMARY KEY, cell int8 NOT NULL);"
        "CREATE TABLE late (id int8 PRIMARY KEY,"
        "  cell int8 REFERENCES cells (id) DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO cells (id) SELECT generate_series(0, " +
        std::to_string(cells - 1) + ")");
  }
  [[nodiscard]] scratch_database& scratch() { return scratch_; }

  /// Runs everything and compares what the callers were told with what the tables hold.
  void run(config settings, bool is_atomic) {
    settings.pipelines = 3;
    settings.batch_limit = 16;
    asio::io_context context{1};
    database db{context, settings, catalogue};
    chaos outside{scratch_, 1};
    std::vector<owner> owners;
    for (std::int64_t cell = 0; cell < cells; ++cell) owners.emplace_back(db, outside, cell, is_atomic);
    bool is_done = false;
    const auto body = [&]() -> asio::awaitable<void> {
      const auto started = co_await db.start(async::within(10s));
      EXPECT_TRUE(started.has_value());
      EXPECT_EQ(db.learned().atomic_batches, is_atomic);
      crowd all{context};
      for (owner& one : owners) all.add([&one] { return one.work(wanted_statements() / cells); });
      co_await all.done();
      outside.end();
      co_await db.close(async::within(10s));
      is_done = true;
    };
    asio::co_spawn(context, body, asio::detached);
    context.run();

    ASSERT_TRUE(is_done);
    compare(owners);
    EXPECT_GT(db.stats().batches, 0U);
    EXPECT_EQ(db.stats().statements_together != 0, is_atomic);
    ::testing::Test::RecordProperty("together", static_cast<int>(db.stats().statements_together));
    ::testing::Test::RecordProperty("kills", outside.kills());
    ::testing::Test::RecordProperty("locks", outside.locks());
    ::testing::Test::RecordProperty("resent", static_cast<int>(db.stats().statements_resent));
  }

 private:
  void compare(const std::vector<owner>& owners) {
    int unknown = 0;
    int rejected = 0;
    std::int64_t notes = 0;
    std::string expected;
    for (const owner& one : owners) {
      expected += (expected.empty() ? "" : ",") + std::to_string(one.value());
      notes += one.notes();
      unknown += one.unknown();
      rejected += one.rejected();
    }
    EXPECT_EQ(scratch_.value("SELECT string_agg(value::text, ',' ORDER BY id) FROM cells"), expected);
    EXPECT_EQ(scratch_.value("SELECT count(*) FROM notes"), std::to_string(notes));
    EXPECT_EQ(scratch_.value("SELECT count(*) FROM late"), "0");
    EXPECT_GT(rejected, 0);
    ::testing::Test::RecordProperty("unknown", unknown);
    ::testing::Test::RecordProperty("rejected", rejected);
  }

  scratch_database scratch_;
  const database_setting timeout_{scratch_, "lock_timeout = '20ms'"};
};

class ledger_pg : public ::testing::TestWithParam<way> {};

TEST_P(ledger_pg, the_tables_hold_what_the_callers_were_told) {
  ledger kept;

  kept.run(config_for(GetParam(), kept.scratch().name()), true);
}

// Citus is learned from pg_extension; the stand-in does what Citus does to a batch.
TEST(ledger_citus_pg, the_tables_hold_what_the_callers_were_told_although_batches_are_not_atomic) {
  ledger kept;
  kept.scratch().run(
      "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)"
      " VALUES (4000000, 'citus', 10, 11, false, '13.2')");
  const citus_stand_in citus{service("PAM_TEST_PG_SOCKET_DIR"), port_of("PAM_TEST_PG_PORT")};
  config settings = config_for(ways[0], kept.scratch().name());
  settings.hosts = {{.host = "127.0.0.1", .port = citus.port()}};
  settings.sslmode = "disable";

  kept.run(settings, false);

  kept.scratch().run("DELETE FROM pg_extension WHERE extname = 'citus'");
}

INSTANTIATE_TEST_SUITE_P(ways, ledger_pg, ::testing::Values(ways[0], ways[1], ways[3], ways[5]),
                         [](const auto& info) { return std::string{info.param.name}; });

}  // namespace
}  // namespace pam::db
