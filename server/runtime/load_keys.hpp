#pragma once

#include "server/crypto/key_ring.hpp"
#include "server/runtime/config.hpp"

namespace pam::runtime {

/// The keys of `keys.file`, opened with the key-encryption key when it is sealed. Blocking. Errors name the
/// key of the configuration and the cure.
[[nodiscard]] crypto::result<crypto::key_ring> load_keys(const configuration& settings);

}  // namespace pam::runtime
