#pragma once

#include <cstdint>

#include <boost/system/result.hpp>

#include "server/runtime/config.hpp"
#include "server/runtime/log.hpp"
#include "server/runtime/start_error.hpp"

namespace pam::runtime {

/// Raises the soft limit of open descriptors to the hard one. @return the limit in force
[[nodiscard]] std::uint64_t raise_descriptor_limit();

/// Lowers limits.connections to what `descriptors` allow beside databases, loops and files, so that accepting
/// stops before descriptors run out. Repeatable.
/// @return the configured value where it was lowered, 0 where it fits; an error names the limit that is
/// wanted
///         when not even the least does (least_clients)
[[nodiscard]] boost::system::result<std::size_t, start_error> fit_to_descriptors(configuration& settings,
                                                                                 std::uint64_t descriptors);

/// Raises the limit, fits `settings` to it and says so in the log.
[[nodiscard]] boost::system::result<void, start_error> prepare_descriptors(configuration& settings,
                                                                           logger& log);

}  // namespace pam::runtime
