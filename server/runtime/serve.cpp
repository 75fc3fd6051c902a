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

int run_serve(const std::string& config_file, const environment& variables, std::ostream& err) {
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
  auto made = server::create(std::move(*settings), *log, [&] { return load_config(config_file, variables); });
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
