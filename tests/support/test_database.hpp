#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "db/admin_connection.hpp"

namespace pam::tests {

/// One value that tests/support/services.sh wrote: from the environment, else from `services/env` in the
/// build folder, looked for upwards from the test's own program. Throws when the services do not run.
inline std::string service(const std::string& name) {
  if (const char* value = std::getenv(name.c_str()); value != nullptr) return value;
  for (auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();;
       folder = folder.parent_path()) {
    std::ifstream file{folder / "services" / "env"};
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with(name + "=")) return line.substr(name.size() + 1);
    }
    if (folder == folder.root_path()) break;
  }
  throw std::runtime_error(name + " is unknown: start tests/support/services.sh first");
}

/// Settings of a direct connection as `user`, without a password.
inline db::admin_settings direct(std::string database, std::string user) {
  db::admin_settings settings;
  settings.host = service("PAM_TEST_PG_SOCKET_DIR");
  settings.port = static_cast<std::uint16_t>(std::stoi(service("PAM_TEST_PG_PORT")));
  settings.database = std::move(database);
  settings.user = std::move(user);
  return settings;
}

inline db::admin_connection connect(const db::admin_settings& settings) {
  auto connection = db::admin_connection::connect(settings);
  if (connection.has_error()) throw std::runtime_error("connect: " + connection.error().detail);
  return std::move(*connection);
}

/// Waits until a query of one value answers `wanted`, at most half a minute: throws then, so that a test that
/// waits for what never comes ends.
inline void wait_for(db::admin_connection& connection, const std::string& query, const std::string& wanted) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  for (;;) {
    const auto found = connection.query(query);
    if (found.has_error()) throw std::runtime_error(query + ": " + found.error().detail);
    if (!found->empty() && found->values[0][0] == wanted) return;
    if (std::chrono::steady_clock::now() > end)
      throw std::runtime_error("never became " + wanted + ": " + query);
  }
}

/// An empty database of its own for one test, dropped at the end. Tests may run at the same time.
class test_database {
 public:
  test_database() {
    static std::atomic<int> counter{0};
    name_ = "pam_test_" + std::to_string(getpid()) + "_" + std::to_string(++counter);
    // template0: template1 may be in use by another test's CREATE DATABASE.
    run_outside("CREATE DATABASE " + name_ + " TEMPLATE template0");
  }
  test_database(const test_database&) = delete;
  test_database& operator=(const test_database&) = delete;
  ~test_database() {
    try {
      run_outside("DROP DATABASE IF EXISTS " + name_ + " WITH (FORCE)");
    } catch (const std::exception&) {  // the services end, and the data with them
    }
  }

  [[nodiscard]] const std::string& name() const { return name_; }

  /// A new direct connection; by default as the superuser.
  [[nodiscard]] db::admin_connection open(const std::string& user = service("PAM_TEST_PG_SUPERUSER")) const {
    return connect(direct(name_, user));
  }

 private:
  static void run_outside(const std::string& statement) {
    auto connection = connect(direct("postgres", service("PAM_TEST_PG_SUPERUSER")));
    const auto done = connection.run(statement);
    if (done.has_error()) throw std::runtime_error(statement + ": " + done.error().detail);
  }

  std::string name_;
};

}  // namespace pam::tests
