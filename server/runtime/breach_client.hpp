#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/auth/breach_check.hpp"
#include "server/runtime/log.hpp"

namespace pam::runtime {

struct breach_settings {
  std::string url;                            ///< "https://..."; a slash and the prefix are appended
  std::chrono::milliseconds timeout{1'000};   ///< of one question, its wait in the queue included
  std::string ca_file;                        ///< empty: the system's certificates
  std::vector<std::string> private_networks;  ///< CIDR: private addresses that may be asked all the same
};

/// Written by any thread, readable from any.
struct breach_statistics {
  std::atomic<std::uint64_t> clean{0};
  std::atomic<std::uint64_t> stolen{0};
  std::atomic<std::uint64_t> unanswered{0};  ///< of them nothing is known: the password was allowed
  std::atomic<std::uint64_t> cached{0};      ///< of the first two, answered without asking
};

/// Asks a service that speaks the range API of Have I Been Pwned ("k-anonymity"): five hexadecimal digits of
/// a SHA-1 go out, everything that begins with them comes back, padded. HTTPS only, no redirects, at most 1
/// MiB, from a thread of its own (libcurl multi) that no shard waits for. A few hundred answers are kept for
/// an hour. Who cannot be asked in time is taken for "not stolen", counted and logged
/// (`breach_check_failed`). Thread-safe. Shards that ask must end before the object does, or ask no more.
class breach_client final : public auth::breach_check {
 public:
  /// Throws std::runtime_error when libcurl does not start. `log` outlives the object.
  breach_client(breach_settings settings, logger& log);
  ~breach_client() override;
  breach_client(const breach_client&) = delete;
  breach_client& operator=(const breach_client&) = delete;

  boost::asio::awaitable<bool> is_stolen(crypto::sha1_digest password, async::deadline deadline) override;

  [[nodiscard]] const breach_statistics& stats() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace pam::runtime
