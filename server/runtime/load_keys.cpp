#include "server/runtime/load_keys.hpp"

#include "server/crypto/key_file_text.hpp"

namespace pam::runtime {
namespace {

crypto::error in_key(const char* key, const crypto::error& failure) {
  return {failure.code, std::string{key} + ": " + failure.detail};
}

}  // namespace

crypto::result<crypto::key_ring> load_keys(const configuration& settings) {
  const auto& from = settings.keys;
  if (!from.encryption_key_file.empty()) {
    const auto key = crypto::sealer::load(from.encryption_key_file);
    if (key.has_error()) return in_key("keys.encryption_key_file", key.error());
    return crypto::key_ring::load(from.file, &*key);
  }
  if (!from.encryption_key_command.empty()) {
    const auto key = crypto::sealer_from_command(from.encryption_key_command);
    if (key.has_error()) return in_key("keys.encryption_key_command", key.error());
    return crypto::key_ring::load(from.file, &*key);
  }
  return crypto::key_ring::load(from.file);
}

}  // namespace pam::runtime
