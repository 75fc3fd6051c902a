#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "db/admin_connection.hpp"
#include "db/config.hpp"
#include "tests/support/temporary_folder.hpp"

namespace pam::db::testing {

/// A primary (node 1) with streaming standbys of a test's own; tests/support/cluster.sh does the work.
class cluster {
 public:
  explicit cluster(int standbys) {
    run("make");
    for (int node = 2; node <= standbys + 1; ++node) add_standby(node, 1);
  }
  cluster(const cluster&) = delete;
  cluster& operator=(const cluster&) = delete;
  ~cluster() {
    try {
      run("remove");
    } catch (const std::exception& failure) {
      ADD_FAILURE() << failure.what();
    }
  }

  void add_standby(int node, int of) { run("standby", node, std::to_string(of)); }
  void stop(int node, const std::string& mode = "fast") { run("stop", node, mode); }
  void crash(int node) { run("crash", node); }
  void start(int node) { run("run", node); }
  void promote(int node) { run("promote", node); }
  void follow(int node, int whom) { run("follow", node, std::to_string(whom)); }

  [[nodiscard]] std::string socket_dir() const { return folder_.path().string() + "/sock"; }
  [[nodiscard]] static std::uint16_t port(int node) { return static_cast<std::uint16_t>(5400 + node); }
  [[nodiscard]] endpoint where(int node) const {
    endpoint its;
    its.host = socket_dir();
    its.port = port(node);
    return its;
  }
  [[nodiscard]] std::string socket_file(int node) const {
    return socket_dir() + "/.s.PGSQL." + std::to_string(port(node));
  }

  [[nodiscard]] admin_connection admin(int node) const {
    admin_settings settings;
    settings.host = socket_dir();
    settings.port = port(node);
    settings.database = "postgres";
    settings.user = "postgres";
    auto opened = admin_connection::connect(settings);
    if (opened.has_error()) throw std::runtime_error(opened.error().detail);
    return std::move(*opened);
  }
  void sql(int node, const std::string& script) const {
    auto connection = admin(node);
    if (auto done = connection.run(script); done.has_error()) throw std::runtime_error(done.error().detail);
  }
  [[nodiscard]] std::string value(int node, const std::string& query) const {
    auto connection = admin(node);
    auto got = connection.query(query);
    if (got.has_error()) throw std::runtime_error(got.error().detail);
    return got->values.at(0).at(0).value_or("");
  }

 private:
  void run(const std::string& verb, int node = 1, const std::string& more = {}) const {
    const std::string command = std::string{PAM_CLUSTER_SCRIPT} + " " + verb + " " + folder_.path().string() +
                                " " + std::to_string(node) + " " + more;
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
  }

  tests::temporary_folder folder_;
};

}  // namespace pam::db::testing
