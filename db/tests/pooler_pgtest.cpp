// What a pooler does to its server connections must not be noticed by whoever uses the database.
#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/tests/pg_fixture.hpp"

namespace pam::db {
namespace {

using namespace testing;

constexpr statement echo{"SELECT $1::int8, $2::text", types(pg_type::int8, pg_type::text), {}};
constexpr statement divide{"SELECT 1 / $1", types(pg_type::int4), {}};
constexpr statement moving_type{"SELECT * FROM moving WHERE $1::int8 > 0", types(pg_type::int8), {}};
constexpr std::array<const statement*, 3> all_statements{&echo, &divide, &moving_type};

/// How many answers are compared beside an innocent client: PAM_TEST_POOLER_PROBES, e.g. 1000000.
std::size_t probes_wanted() {
  const char* const wanted = std::getenv("PAM_TEST_POOLER_PROBES");
  return wanted == nullptr ? 4000 : std::stoul(wanted);
}

class pooler_pg : public ::testing::TestWithParam<way> {
 protected:
  pooler_pg() { scratch.run("CREATE TABLE moving (a int4); INSERT INTO moving VALUES (7)"); }

  config settings() const { return config_for(GetParam(), scratch.name()); }
  bool is_session_mode() const {
    return std::string_view{GetParam().port}.find("SESSION") != std::string::npos;
  }

  std::string ask_console(const std::string& command, const std::string& key, const std::string& column) {
    const auto table = console.command(command).value();
    std::size_t wanted = 0;
    while (wanted < table.columns.size() && table.columns[wanted] != column) ++wanted;
    for (const text_row& row : table.values) {
      if (row.at(0) == key) return row.at(wanted).value_or("");
    }
    return "";
  }
  void tell_console(const std::string& command) {
    if (auto done = console.run(command); done.has_error()) throw std::runtime_error(done.error().detail);
  }

  scratch_database scratch;
  admin_connection console = connect_console(GetParam().port);
};

// Each answer is the caller's own; every eleventh statement fails and takes its batch with it.
asio::awaitable<void> ask_and_compare(database& db, std::size_t caller, std::size_t rounds,
                                      std::size_t& right, std::size_t& wrong) {
  for (std::size_t round = 0; round < rounds; ++round) {
    params values;
    if ((caller + round) % 11 == 3) {
      values.add(std::int32_t{0});
      const auto failed = co_await db.execute(divide, std::move(values), within(30s));
      (failed.has_error() && failed.error().sqlstate == "22012" ? right : wrong) += 1;
      continue;
    }
    const auto id = static_cast<std::int64_t>(caller * 1'000'000 + round);
    // Long and short, so that messages straddle libpq's buffer.
    const std::string text = std::string(round % 7 == 0 ? 3000 : 20, 'a') + std::to_string(id);
    values.add(id).add_text(text);
    const auto got = co_await db.execute(echo, std::move(values), within(30s));
    (got.has_value() && got->int8(0, 0) == id && got->text(0, 1) == text ? right : wrong) += 1;
  }
}

TEST_P(pooler_pg, names_survive_when_every_transaction_gets_a_new_server_connection) {
  const std::string usual = ask_console("SHOW CONFIG", "server_lifetime", "value");
  // 0: used once, then closed (PgBouncer's manual).
  tell_console("SET server_lifetime = 0");
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    std::size_t right = 0;
    std::size_t wrong = 0;
    crowd many{context};

    for (std::size_t caller = 0; caller < 8; ++caller) {
      many.add([&, caller] { return ask_and_compare(db, caller, 15, right, wrong); });
    }
    co_await many.done();

    EXPECT_EQ(right, 8U * 15U);
    EXPECT_EQ(wrong, 0U);
    EXPECT_EQ(db.stats().disconnects, 0U);
    co_await db.close(async::within(5s));
  });
  tell_console("SET server_lifetime = " + usual);
}

// A RECONNECT in the middle of a server's login counts as a failed one, and who waits for it is dropped with
// "server login has been failing" (seen with 1.18): that too must not reach a caller.
TEST_P(pooler_pg, reconnect_under_load_is_not_noticed) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    config two = settings();
    two.pipelines = 2;
    database db{context, two, all_statements};
    co_await start(db);
    std::size_t right = 0;
    std::size_t wrong = 0;
    crowd many{context};

    for (std::size_t caller = 0; caller < 16; ++caller) {
      many.add([&, caller] { return ask_and_compare(db, caller, 30, right, wrong); });
    }
    for (std::size_t done = 100; done <= 400; done += 100) {
      co_await eventually(context, [&] { return right + wrong >= done; });
      tell_console("RECONNECT " + scratch.name());
    }
    co_await many.done();

    EXPECT_EQ(right, 16U * 30U);
    EXPECT_EQ(wrong, 0U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(pooler_pg, what_is_asked_during_a_pause_is_answered_after_it) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    std::size_t right = 0;
    std::size_t wrong = 0;
    crowd many{context};
    // In session mode a pause waits for every session to end, ours included: there is nothing to test.
    if (!is_session_mode()) tell_console("PAUSE " + scratch.name());

    many.add([&] { return ask_and_compare(db, 1, 1, right, wrong); });
    if (!is_session_mode()) {
      const bool has_waited = co_await eventually(
          context, [&] { return ask_console("SHOW POOLS", scratch.name(), "cl_waiting") == "1"; });
      EXPECT_TRUE(has_waited);
      EXPECT_EQ(right + wrong, 0U);
      tell_console("RESUME " + scratch.name());
    }
    co_await many.done();

    EXPECT_EQ(right, 1U);
    EXPECT_EQ(db.stats().disconnects, 0U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(pooler_pg, a_changed_result_type_heals_on_every_server_connection) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    config four = settings();
    four.pipelines = 4;
    database db{context, four, all_statements};
    co_await start(db);
    std::vector<std::optional<result<rows>>> answers(48);
    const auto ask_all = [&]() -> asio::awaitable<void> {
      crowd many{context};
      for (auto& answer : answers) {
        params values;
        values.add(std::int64_t{1});
        many.add([&, given = std::make_shared<params>(std::move(values))] {
          return run_into(db, moving_type, std::move(*given), answer);
        });
      }
      co_await many.done();
    };
    co_await ask_all();

    scratch.run("ALTER TABLE moving ALTER a TYPE int8");
    co_await ask_all();

    for (const auto& answer : answers) {
      EXPECT_TRUE(answer->has_value()) << answer->error().sqlstate;
      if (answer->has_value()) EXPECT_EQ(answer->value().int8(0, 0), 7);
    }
    EXPECT_EQ(db.stats().disconnects, 0U);
    co_await db.close(async::within(5s));
  });
}

// A client as most are: one statement, then its answer. Counts answers that are not its own.
class innocent_client {
 public:
  innocent_client(const config& where, std::string mark, std::atomic<bool>& is_over)
      : thread_([this, where, mark = std::move(mark), &is_over] { run(where, mark, is_over); }) {}
  void join() { thread_.join(); }
  [[nodiscard]] std::size_t asked() const { return asked_; }
  [[nodiscard]] std::size_t wrong() const { return wrong_; }

 private:
  void run(const config& where, const std::string& mark, std::atomic<bool>& is_over) {
    admin_settings settings;
    settings.host = where.hosts.front().host;
    settings.port = where.hosts.front().port;
    settings.database = where.database;
    settings.user = where.user;
    admin_connection connection = tests::connect(settings);
    while (!is_over) {
      const std::string value = mark + std::to_string(asked_++);
      const auto got = connection.query("SELECT $1::text", {value});
      if (got.has_error() || got->size() != 1 || got->values.at(0).at(0) != value) ++wrong_;
      if (!connection.is_open()) break;
    }
  }

  std::size_t asked_ = 0;
  std::size_t wrong_ = 0;
  std::thread thread_;  // last: it uses the others
};

TEST_P(pooler_pg, nobody_gets_an_answer_of_somebody_else_beside_innocent_clients) {
  // More clients than the pooler has server connections, or each would keep its own.
  const std::size_t callers = 64;
  const std::size_t rounds = (probes_wanted() + callers - 1) / callers;
  std::atomic<bool> is_over{false};
  std::vector<std::unique_ptr<innocent_client>> others;
  if (!is_session_mode()) {
    for (const char* mark : {"a", "b", "c"}) {
      others.push_back(std::make_unique<innocent_client>(settings(), mark, is_over));
    }
  }
  std::size_t right = 0;
  std::size_t wrong = 0;
  std::uint64_t disconnects = 0;
  asio::io_context context{1};
  std::vector<std::unique_ptr<database>> shards;
  asio::co_spawn(
      context,
      [&]() -> asio::awaitable<void> {
        for (int i = 0; i < (is_session_mode() ? 1 : 5); ++i) {
          config many_pipelines = settings();
          many_pipelines.pipelines = 2;
          shards.push_back(std::make_unique<database>(context, many_pipelines, all_statements));
          co_await start(*shards.back());
        }
        crowd many{context};
        for (std::size_t caller = 0; caller < callers; ++caller) {
          many.add([&, caller] {
            return ask_and_compare(*shards[caller % shards.size()], caller, rounds, right, wrong);
          });
        }
        co_await many.done();
        for (const auto& db : shards) {
          disconnects += db->stats().disconnects;
          co_await db->close(async::within(5s));
        }
      },
      [](std::exception_ptr failure) { EXPECT_EQ(failure, nullptr); });
  context.run();
  is_over = true;
  for (const auto& other : others) other->join();

  EXPECT_EQ(right, callers * rounds);
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(disconnects, 0U);
  for (const auto& other : others) {
    EXPECT_GT(other->asked(), 0U);
    EXPECT_EQ(other->wrong(), 0U) << "of " << other->asked();
  }
}

INSTANTIATE_TEST_SUITE_P(poolers, pooler_pg, ::testing::ValuesIn(pooler_ways()),
                         [](const auto& info) { return std::string{info.param.name}; });

}  // namespace
}  // namespace pam::db
