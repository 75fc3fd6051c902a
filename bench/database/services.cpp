#include "bench/database/services.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include <unistd.h>

#include <fmt/format.h>

#include "bench/database/shell.hpp"

namespace pam::bench {

namespace {

// The whole table in memory, as in production, and room for WAL between checkpoints of our own.
std::string settings_for(const plan& how) {
  constexpr std::int64_t sessions_a_gigabyte = 1'000'000;
  return fmt::format(
      "shared_buffers = {}GB\nmax_wal_size = 8GB\ncheckpoint_timeout = 1h\n"
      "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track = all\n",
      std::max<std::int64_t>(1, how.sessions / sessions_a_gigabyte));
}

std::uint16_t port_of(const std::string& text) {
  return static_cast<std::uint16_t>(std::stoi(text));
}

std::filesystem::path folder_of_this_process() {
  return std::filesystem::temp_directory_path() / fmt::format("pam_bench_db_{}", ::getpid());
}

}  // namespace

void read_services(const std::filesystem::path& env, plan& how) {
  std::ifstream file{env};
  for (std::string line; std::getline(file, line);) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = line.substr(0, equals);
    const std::string value = line.substr(equals + 1);
    if (name == "PAM_TEST_PG_SOCKET_DIR") how.socket_dir = value;
    if (name == "PAM_TEST_PG_PORT") how.postgres_port = port_of(value);
    if (name == "PAM_TEST_PGBOUNCER_PORT") how.pgbouncer_port = port_of(value);
    if (name == "PAM_TEST_PGBOUNCER_NEW_PORT") how.new_pgbouncer_port = port_of(value);
    if (name == "PAM_TEST_PG_SUPERUSER") how.superuser = value;
    if (name == "PAM_TEST_PG_BIN") how.pg_bin = value;
    if (name == "PAM_TEST_SERVICES_ROOT") how.data_dir = value + "/data";
  }
  how.env = env.string();
  if (how.socket_dir.empty()) throw std::runtime_error("no servers are described in " + env.string());
}

services::services(const std::string& script, plan& how)
    : end_([script, directory = folder_of_this_process()] {
        run_command(fmt::format("'{}' stop '{}'", script, directory.string()));
        std::filesystem::remove_all(directory);
      }) {
  const std::filesystem::path directory = folder_of_this_process();
  std::filesystem::create_directories(directory);
  ::setenv("PAM_TEST_PG_FSYNC", "on", 1);
  ::setenv("PAM_TEST_PG_SETTINGS", settings_for(how).c_str(), 1);
  run_command(fmt::format("'{}' start '{}'", script, directory.string()));
  read_services(directory / "env", how);
  how.scratch = directory.string();
}

}  // namespace pam::bench
