#include "server/runtime/serve.hpp"

#include <sys/resource.h>

#include <ostream>
#include <utility>

#include "server/runtime/log.hpp"
#include "server/runtime/server.hpp"

namespace pam::runtime {

void raise_descriptor_limit() {
  struct rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  // Raising the soft limit up to the hard one is always allowed (setrlimit(2)).
  setrlimit(RLIMIT_NOFILE, &limit);
}

namespace {

/// What the service manager and a predecessor give.
boost::system::result<start_up, start_error> receive_start(const configuration& settings, bool takes_over,
                                                           const environment& variables) {
  start_up given;
  auto listeners = systemd_listeners(variables);
  if (listeners.has_error()) return listeners.error();
  given.listeners = std::move(*listeners);
  given.manager = service_manager{variables};
  const std::string& control = settings.server.control_socket;
  if (control.empty()) {
    if (takes_over)
      return start_error{"--take-over needs server.control_socket: the predecessor listens there"};
    return given;
  }
  auto found = predecessor::find(control);
  if (found.has_error()) return found.error();
  if (!*found) return given;
  if (!takes_over) {
    return start_error{"a server runs at server.control_socket " + control +
                       ": stop it, replace it with --take-over, or give this one another path"};
  }
  given.replaced = std::move(*found);
  merge_listeners(given.listeners, given.replaced->take_listeners());
  return given;
}

}  // namespace

int run_serve(const std::string& config_file, bool takes_over, const environment& variables,
              std::ostream& err) {
  auto settings = load_config(config_file, variables);
  if (settings.has_error()) {
    err << to_string(settings.error());
    return 1;
  }
  if (const config_errors missing = missing_for_serving(*settings); !missing.empty()) {
    err << to_string(missing);
    return 1;
  }
  log_settings log_how;
  log_how.level = parse_log_level(settings->log.level).value_or(log_level::info);
  log_how.file = settings->log.file;
  log_how.flood_limit = settings->log.flood_limit;
  auto log = logger::open(std::move(log_how));
  if (log.has_error()) {
    err << "pam-auth: " << log.error().message << "\n";
    return 1;
  }
  raise_descriptor_limit();
  auto given = receive_start(*settings, takes_over, variables);
  if (given.has_error()) {
    err << "pam-auth: " << given.error().message << "\n";
    return 1;
  }
  auto reread = [&] { return load_config(config_file, variables); };
  auto made = server::create(std::move(*settings), *log, std::move(reread), std::move(*given));
  if (made.has_error()) {
    err << "pam-auth: " << made.error().message << "\n";
    return 1;
  }
  server& running = **made;
  running.start(
      [&] { log->info("ready", {{"port", running.port()}, {"internal_port", running.internal_port()}}); });
  return running.run() ? 0 : 1;
}

}  // namespace pam::runtime
