#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "server/net/unique_fd.hpp"
#include "server/runtime/config.hpp"

namespace pam::runtime {

/// Tells the service manager how this process is (sd_notify(3)); does nothing when there is none.
/// One datagram each, never blocking: a manager that does not listen holds up nobody.
class service_manager {
 public:
  service_manager() = default;
  /// @param variables  NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the environment
  explicit service_manager(const environment& variables);

  [[nodiscard]] bool is_present() const { return static_cast<bool>(socket_); }
  /// How often `alive()` is expected, halved as sd_watchdog_enabled(3) asks; nullopt: not at all.
  [[nodiscard]] std::optional<std::chrono::microseconds> watchdog_interval() const { return watchdog_; }

  /// Serving, now in this process, whichever was the service's main process before.
  void ready(std::string_view status);
  void reloading();
  /// @param at_most  how long stopping may take: the manager's own limit is extended to it
  void stopping(std::chrono::milliseconds at_most);
  void status(std::string_view text);
  void alive();

 private:
  void send(const std::string& state) const;

  net::unique_fd socket_;
  std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace pam::runtime
