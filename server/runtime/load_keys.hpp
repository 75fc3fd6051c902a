#pragma once

#include "server/crypto/key_ring.hpp"
#include "server/runtime/config.hpp"

namespace pam::runtime {

/// The keys of `keys.file`, opened with the key-encryption key when it is sealed. Blocking.
/// @return or the key of the configuration at fault, with the cure
[[nodiscard]] boost::system::result<crypto::key_ring, config_error> load_keys(const configuration& settings);

}  // namespace pam::runtime
