#pragma once

#include <string>
#include <vector>

#include "server/runtime/config.hpp"
#include "server/runtime/pool_plan.hpp"

namespace pam::runtime {

/// What the way of [database] states about the connections it grants.
struct server_room {
  std::vector<room_limit> limits;
  std::string unknown;  ///< why nothing, or not all, is known; empty: all of it
};

/// Asks the first host of [database] that answers, and its pooler's console: PostgreSQL's own limits on a
/// direct way, the pooler's through one. Blocking: as long as it takes to connect, and at most about two
/// seconds where nobody answers. Never on a shard.
[[nodiscard]] server_room ask_server_room(const configuration& settings);

}  // namespace pam::runtime
