#pragma once

#include <chrono>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

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

/// A database of its own for one test, with a connection that stays open.
class scratch_database {
 public:
  [[nodiscard]] const std::string& name() const { return base_.name(); }
  void run(const std::string& script) {
    if (auto done = admin_.run(script); done.has_error()) throw std::runtime_error(done.error().detail);
  }
  std::string value(const std::string& sql) {
    auto got = admin_.query(sql);
    if (got.has_error()) throw std::runtime_error(got.error().detail);
    return got->values.at(0).at(0).value_or("");
  }
  /// Ends every backend of this database but the one that asks.
  void kill_backends() {
    run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()");
  }

 private:
  tests::test_database base_;
  admin_connection admin_ = connect_admin(base_.name());
};

/// The three ways a pipeline works; every test of behaviour runs in all of them.
struct way {
  const char* name;
  bool through_pooler;
  pooler_mode mode;
};
inline constexpr way ways[] = {
    {"direct_named", false, pooler_mode::direct},
    {"direct_unnamed", false, pooler_mode::pgbouncer_safe},
    {"pgbouncer_safe", true, pooler_mode::automatic},
};

inline config config_for(const way& how, const std::string& database) {
  config settings;
  endpoint where;
  where.host = service("PAM_TEST_PG_SOCKET_DIR");
  where.port = port_of(how.through_pooler ? "PAM_TEST_PGBOUNCER_PORT" : "PAM_TEST_PG_PORT");
  settings.hosts = {where};
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

}  // namespace pam::db::testing
