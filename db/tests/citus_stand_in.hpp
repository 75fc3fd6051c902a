#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <thread>

namespace pam::db::testing {

/// A proxy before PostgreSQL that makes batches as little atomic as Citus makes them: every statement under
/// a Sync commits by itself, one that fails takes only those behind it with it. Clients reach it on
/// 127.0.0.1 without TLS. Threads of its own; the destructor ends them.
class citus_stand_in {
 public:
  citus_stand_in(std::string socket_dir, std::uint16_t postgres_port);
  ~citus_stand_in();
  citus_stand_in(const citus_stand_in&) = delete;
  citus_stand_in& operator=(const citus_stand_in&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  /// A client and the server's connection for it.
  struct link {
    int client = -1;
    int server = -1;
    std::jthread worker;
  };
  void accept_all();
  [[nodiscard]] int connect_to_server() const;

  std::string socket_path_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::mutex mutex_;
  bool is_closing_ = false;
  std::list<link> links_;
  std::jthread acceptor_;
};

}  // namespace pam::db::testing
