#pragma once

#include <string>
#include <string_view>

#include "server/crypto/error.hpp"
#include "server/crypto/sealing.hpp"
#include "server/crypto/secret.hpp"

namespace pam::crypto {

/// A key file rests as a JWK Set in the clear, or sealed under a key-encryption key (sealing.hpp): a first
/// line "pam-sealed-keys-v1", then one line of base64url.
[[nodiscard]] bool is_sealed_key_text(std::string_view text);
[[nodiscard]] secret seal_key_text(const sealer& under, std::string_view text);

/// The JWK Set of a file, opened when it is sealed. Blocking.
/// @param unsealer  null: a sealed file is refused with the cure
[[nodiscard]] result<secret> read_key_text(const std::string& file, const sealer* unsealer);

/// The key-encryption key from what a command prints on its standard output (at most 64 KB, within 30 s,
/// exit status 0), for secret managers that have a client. The command is one line for /bin/sh. Blocking.
[[nodiscard]] result<sealer> sealer_from_command(const std::string& command);

}  // namespace pam::crypto
