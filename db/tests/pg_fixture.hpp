#pragma once

#include <chrono>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "async/gate.hpp"
#include "async/tuple_await.hpp"
#include "db/admin_connection.hpp"
#include "db/database.hpp"
#include "tests/support/test_database.hpp"

namespace pam::db::testing {

namespace asio = boost::asio;
using namespace std::chrono_literals;

/// A PAM_TEST_... variable: of the environment, of the file that PAM_TEST_SERVICES names, or of the build
/// folder's services.
inline std::string service(const std::string& name) {
  if (const char* file = std::getenv("PAM_TEST_SERVICES");
      file != nullptr && std::getenv(name.c_str()) == nullptr) {
    std::ifstream lines{file};
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(name + "=")) return line.substr(name.size() + 1);
    }
  }
  return tests::service(name);
}

inline std::uint16_t port_of(const std::string& name) {
  return static_cast<std::uint16_t>(std::stoi(service(name)));
}

inline admin_connection connect_admin(const std::string& database) {
  admin_settings settings;
  settings.host = service("PAM_TEST_PG_SOCKET_DIR");
  settings.port = port_of("PAM_TEST_PG_PORT");
  settings.database = database;
  settings.user = service("PAM_TEST_PG_SUPERUSER");
  auto opened = admin_connection::connect(settings);
  if (opened.has_error()) throw std::runtime_error(opened.error().detail);
  return std::move(*opened);
}

/// The console of the PgBouncer that listens on a PAM_TEST_... port.
inline admin_connection connect_console(const std::string& port) {
  admin_settings settings;
  settings.host = service("PAM_TEST_PG_SOCKET_DIR");
  settings.port = port_of(port);
  settings.database = "pgbouncer";
  settings.user = service("PAM_TEST_PG_SUPERUSER");
  return tests::connect(settings);
}

/// The databases that tests have done with, emptied and lent out again: making one costs more than most
/// tests do.
class scratch_pool {
 public:
  static scratch_pool& of_this_program() {
    static scratch_pool all;
    return all;
  }
  std::unique_ptr<tests::test_database> borrow() {
    if (idle_.empty()) return std::make_unique<tests::test_database>();
    auto one = std::move(idle_.back());
    idle_.pop_back();
    return one;
  }
  /// Nothing of the last test may be left: no connection, no setting, no table.
  void give_back(std::unique_ptr<tests::test_database> one) {
    const std::string& name = one->name();
    // A pooler that never heard of the database says so; the others drop every connection to it at once.
    for (admin_connection& console : consoles_) {
      if (console.run("KILL " + name).has_value()) must(console.run("RESUME " + name));
    }
    must(root_.run("ALTER DATABASE " + name + " ALLOW_CONNECTIONS true"));
    must(root_.run("ALTER DATABASE " + name + " RESET ALL"));
    must(root_.run("ALTER ROLE CURRENT_USER IN DATABASE " + name + " RESET ALL"));
    must(
        root_.run("DO $$ BEGIN LOOP"
                  " PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" +
                  name +
                  "';"
                  " EXIT WHEN NOT FOUND;"
                  " PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();"
                  " END LOOP; END $$"));
    must(one->open().run("DROP SCHEMA public CASCADE; CREATE SCHEMA public"));
    idle_.push_back(std::move(one));
  }

 private:
  static void must(const result<void>& done) {
    if (done.has_error()) throw std::runtime_error(done.error().detail);
  }
  static std::vector<admin_connection> connect_consoles() {
    std::vector<admin_connection> all;
    for (const char* port : {"PAM_TEST_PGBOUNCER_PORT", "PAM_TEST_PGBOUNCER_SESSION_PORT",
                             "PAM_TEST_PGBOUNCER_NEW_PORT", "PAM_TEST_PGBOUNCER_NEW_SESSION_PORT"}) {
      all.push_back(connect_console(port));
    }
    return all;
  }

  std::vector<std::unique_ptr<tests::test_database>> idle_;
  admin_connection root_ = connect_admin("postgres");
  std::vector<admin_connection> consoles_ = connect_consoles();
};

/// A database of its own for one test, empty, with a connection that stays open.
class scratch_database {
 public:
  scratch_database() = default;
  scratch_database(const scratch_database&) = delete;
  scratch_database& operator=(const scratch_database&) = delete;
  ~scratch_database() {
    admin_.reset();
    try {
      scratch_pool::of_this_program().give_back(std::move(base_));
    } catch (const std::exception& failure) {
      ADD_FAILURE() << "the database cannot be emptied: " << failure.what();
    }
  }

  [[nodiscard]] const std::string& name() const { return base_->name(); }
  void run(const std::string& script) {
    if (auto done = admin_->run(script); done.has_error()) throw std::runtime_error(done.error().detail);
  }
  std::string value(const std::string& sql) {
    auto got = admin_->query(sql);
    if (got.has_error()) throw std::runtime_error(got.error().detail);
    return got->values.at(0).at(0).value_or("");
  }
  /// Ends every backend of this database but the one that asks.
  void kill_backends() {
    run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()");
  }

 private:
  std::unique_ptr<tests::test_database> base_ = scratch_pool::of_this_program().borrow();
  std::optional<admin_connection> admin_{connect_admin(base_->name())};
};

/// A setting of the database for one test; new connections obey it.
class database_setting {
 public:
  database_setting(scratch_database& of, const std::string& setting) : of_(of) {
    of_.run("ALTER DATABASE " + of_.name() + " SET " + setting);
  }
  database_setting(const database_setting&) = delete;
  database_setting& operator=(const database_setting&) = delete;
  ~database_setting() { of_.run("ALTER DATABASE " + of_.name() + " RESET ALL"); }

 private:
  scratch_database& of_;
};

/// One way to reach the server and to use the connection.
struct way {
  const char* name;
  bool through_pooler;
  pooler_mode mode;            ///< what the configuration says
  const char* port = nullptr;  ///< the PAM_TEST_... variable; else of the older pooler, or of PostgreSQL
  bool is_verified = false;    ///< by TCP and TLS, with sslmode verify-full
  pooler_mode learns = mode;   ///< what it comes to
};
inline constexpr way direct_tls{"direct_tls",       false, pooler_mode::automatic,
                                "PAM_TEST_PG_PORT", true,  pooler_mode::direct};
/// Every test of behaviour runs in all of them.
inline constexpr way ways[] = {
    {"direct_named", false, pooler_mode::direct},
    {"direct_unnamed", false, pooler_mode::pgbouncer_safe},
    direct_tls,
    {"pgbouncer_safe", true, pooler_mode::automatic, "PAM_TEST_PGBOUNCER_PORT", false,
     pooler_mode::pgbouncer_safe},
    {"pgbouncer_safe_session", true, pooler_mode::automatic, "PAM_TEST_PGBOUNCER_SESSION_PORT", false,
     pooler_mode::pgbouncer_safe},
    {"pgbouncer_named", true, pooler_mode::automatic, "PAM_TEST_PGBOUNCER_NEW_PORT", false,
     pooler_mode::pgbouncer_named},
    {"pgbouncer_named_session", true, pooler_mode::automatic, "PAM_TEST_PGBOUNCER_NEW_SESSION_PORT", false,
     pooler_mode::pgbouncer_named},
};

/// Those with a pooler in between.
inline std::vector<way> pooler_ways() {
  std::vector<way> all;
  for (const way& one : ways) {
    if (one.through_pooler) all.push_back(one);
  }
  return all;
}

inline config config_for(const way& how, const std::string& database) {
  config settings;
  endpoint where;
  where.host = how.is_verified ? "localhost" : service("PAM_TEST_PG_SOCKET_DIR");
  const char* const usual = how.through_pooler ? "PAM_TEST_PGBOUNCER_PORT" : "PAM_TEST_PG_PORT";
  where.port = port_of(how.port != nullptr ? how.port : usual);
  settings.hosts = {where};
  if (how.is_verified) {
    settings.sslmode = "verify-full";
    settings.sslrootcert = service("PAM_TEST_PG_CA");
  }
  settings.database = database;
  settings.user = service("PAM_TEST_PG_SUPERUSER");
  settings.mode = how.mode;
  settings.application_name = "pam-db-test";
  settings.probe_interval = 20ms;
  return settings;
}

/// Runs one coroutine on a context until it ends; everything it left behind is dropped with the context.
template <class Work>
void run_on_shard(Work work) {
  asio::io_context context{1};
  std::exception_ptr thrown;
  bool is_done = false;
  auto on_end = [&](std::exception_ptr failure) {
    thrown = failure;
    is_done = true;
  };
  asio::co_spawn(context, work(context), on_end);
  context.run_for(60s);
  if (thrown) std::rethrow_exception(thrown);
  ASSERT_TRUE(is_done) << "the test did not end";
}

/// Waits until a condition holds; fails after 20 seconds. Polls: the conditions are the server's.
template <class Condition>
asio::awaitable<bool> eventually(asio::io_context& context, Condition condition) {
  const auto until = async::within(20s);
  asio::steady_timer timer{context};
  while (!condition()) {
    if (async::has_passed(until)) co_return false;
    timer.expires_after(2ms);
    co_await timer.async_wait(async::tuple_await);
  }
  co_return true;
}

inline call_options within(std::chrono::milliseconds budget) {
  call_options options;
  options.deadline = async::within(budget);
  return options;
}

/// Many callers at once; `done()` waits for the last.
class crowd {
 public:
  explicit crowd(asio::io_context& context) : context_(context), gate_(context.get_executor()) {}
  template <class Task>
  void add(Task task) {
    asio::co_spawn(context_, run(std::move(task), gate_.enter()), asio::detached);
  }
  asio::awaitable<void> done() { co_await gate_.close(); }

 private:
  template <class Task>
  static asio::awaitable<void> run(Task task, async::gate::pass /*inside*/) {
    co_await task();
  }
  asio::io_context& context_;
  async::gate gate_;
};

inline asio::awaitable<void> start(database& db) {
  const auto started = co_await db.start(async::within(10s));
  if (started.has_error()) throw std::runtime_error("start: " + started.error().detail);
}

// A statement for a crowd: its answer goes to a slot of its own.
inline asio::awaitable<void> run_into(database& db, const statement& what, params values,
                                      std::optional<result<rows>>& into, call_options options = within(10s)) {
  into.emplace(co_await db.execute(what, std::move(values), options));
}

}  // namespace pam::db::testing
