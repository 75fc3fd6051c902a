#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

#include "server/crypto/key_ring.hpp"

namespace pam::cli {

/// `pam-auth keys generate`: writes a fresh JWK Set, mode 0600, to `file`. The file appears complete or
/// not at all: it is written beside its place, flushed to the disk, and then linked there.
///
/// Without `force` an existing file (a dangling link too) stays as it is and the command fails, even when
/// two of them run at once. With `force` it is replaced, and every session under the old keys ends.
/// Prints the file's name, never a key.
int run_keys_generate(const std::string& file, crypto::algorithm signing, bool force, std::ostream& out,
                      std::ostream& err);

}  // namespace pam::cli
