#pragma once

#include <chrono>
#include <cstddef>

namespace pam::net::detail {

/// Token bucket for TLS handshakes: what is over the rate waits in the listener's backlog, so that a
/// storm of returning clients leaves time for those who are signed in. Pure: the time is passed in.
class handshake_budget {
 public:
  using clock = std::chrono::steady_clock;

  /// How long an exhausted budget should be left alone; the burst is what this time earns (at least one).
  static constexpr std::chrono::milliseconds pause{10};

  /// @param per_second  0: unlimited
  handshake_budget(std::size_t per_second, clock::time_point now);

  /// Takes one token; false when there is none.
  [[nodiscard]] bool take(clock::time_point now);

 private:
  double per_second_;
  double capacity_;
  double tokens_;
  clock::time_point filled_;
};

}  // namespace pam::net::detail
