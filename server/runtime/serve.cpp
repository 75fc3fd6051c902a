#include "server/runtime/serve.hpp"

#include <future>
#include <ostream>
#include <utility>

#include "server/runtime/descriptor_limit.hpp"
#include "server/runtime/log.hpp"
#include "server/runtime/pool_plan.hpp"
#include "server/runtime/server.hpp"
#include "server/runtime/server_room.hpp"

namespace pam::runtime {

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

/// A start is not refused: the server works, and refuses late what it could have refused early.
void check_queue(const queue_shape& shape, logger& log) {
  const auto shortfall = judge_queue(shape);
  if (!shortfall) return;
  log.warn("queue_short",
           {{"queue_limit", shape.queue},
            {"admitted", shape.reads + shape.writes},
            {"detail", shortfall->text + ": " + shortfall->cure}},
           "in an overload requests are refused after work was done for them");
}

/// Whether the pools fit into what PostgreSQL or the pooler grants, successors included.
boost::system::result<void, start_error> check_pools(const pool_shape& shape, const server_room& room,
                                                     logger& log) {
  const room_verdict verdict = judge_room(shape, room.limits);
  if (verdict.what == room_verdict::kind::refused) {
    return start_error{"the database pools do not fit: " + verdict.sentence};
  }
  if (!room.unknown.empty()) {
    log.warn("pools_unchecked", {{"connections", shape.peak()}, {"detail", room.unknown}},
             "what the database grants is not known");
  } else if (verdict.what == room_verdict::kind::waits) {
    log.warn("pools_wait", {{"connections", shape.sum()}, {"detail", verdict.sentence}},
             "who comes after the last place waits inside the pooler");
  } else {
    log.info("pools_fit", {{"connections", shape.sum()}, {"at_take_over", shape.peak()}});
  }
  return {};
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
  const auto refuse = [&err](const start_error& why) {
    err << "pam-auth: " << why.message << "\n";
    return 1;
  };
  if (auto fitted = prepare_descriptors(*settings, *log); fitted.has_error()) return refuse(fitted.error());
  auto given = receive_start(*settings, takes_over, variables);
  if (given.has_error()) return refuse(given.error());
  check_queue(queue_shape_of(*settings), *log);
  const pool_shape shape = pool_shape_of(*settings);
  // Beside loading and binding, which take as long.
  auto room = std::async(std::launch::async, ask_server_room, *settings);
  auto reread = [&] { return load_config(config_file, variables); };
  auto made = server::create(std::move(*settings), *log, std::move(reread), std::move(*given));
  if (made.has_error()) return refuse(made.error());
  if (auto fits = check_pools(shape, room.get(), *log); fits.has_error()) return refuse(fits.error());
  server& running = **made;
  running.start(
      [&] { log->info("ready", {{"port", running.port()}, {"internal_port", running.internal_port()}}); });
  return running.run() ? 0 : 1;
}

}  // namespace pam::runtime
