#pragma once

#include <string>

#include "server/crypto/error.hpp"
#include "server/crypto/secret.hpp"

namespace pam::crypto::detail {

/// Reads a file of keys: a regular file of at most 256 KB that nobody but its owner may touch (mode
/// 0600 or stricter). `bad_key` names the file and the cure. Blocking: for start-up and reloads.
[[nodiscard]] result<secret> read_key_file(const std::string& file);

/// `failure` with the file's name in front of its detail.
[[nodiscard]] error in_file(const std::string& file, const error& failure);

}  // namespace pam::crypto::detail
