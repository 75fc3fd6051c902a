#include "server/runtime/descriptor_limit.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <limits>

#include "server/runtime/pool_plan.hpp"

namespace pam::runtime {

std::uint64_t raise_descriptor_limit() {
  struct rlimit limit{};
  // What cannot be read is not counted against anybody.
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::numeric_limits<std::uint64_t>::max();
  struct rlimit raised = limit;
  raised.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

boost::system::result<std::size_t, start_error> fit_to_descriptors(configuration& settings,
                                                                   std::uint64_t descriptors) {
  const pool_shape shape = pool_shape_of(settings);
  const std::size_t wanted = settings.limits.connections;
  const std::uint64_t fitting = clients_that_fit(shape, wanted, descriptors);
  if (fitting == 0) {
    const std::uint64_t least =
        descriptors_beside_clients(shape) + shape.shards * std::min<std::uint64_t>(wanted, least_clients);
    return start_error{"the limit of open descriptors (RLIMIT_NOFILE) is " + std::to_string(descriptors) +
                       ", but " + std::to_string(shape.shards) + " shards need " + std::to_string(least) +
                       " at least: set LimitNOFILE (ulimit -n) to " +
                       std::to_string(descriptors_beside_clients(shape) + shape.shards * wanted) +
                       " for all of limits.connections, or lower server.shards"};
  }
  settings.limits.connections = fitting;
  return fitting < wanted ? wanted : 0;
}

boost::system::result<void, start_error> prepare_descriptors(configuration& settings, logger& log) {
  const std::uint64_t descriptors = raise_descriptor_limit();
  const auto lowered = fit_to_descriptors(settings, descriptors);
  if (lowered.has_error()) return lowered.error();
  if (*lowered == 0) return {};
  const pool_shape shape = pool_shape_of(settings);
  log.warn(
      "connections_lowered",
      {{"configured", *lowered}, {"connections", settings.limits.connections}, {"descriptors", descriptors}},
      "descriptors allow a shard no more; LimitNOFILE=" +
          std::to_string(descriptors_beside_clients(shape) + shape.shards * *lowered) + " allows all");
  return {};
}

}  // namespace pam::runtime
