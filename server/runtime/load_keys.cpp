#include "server/runtime/load_keys.hpp"

#include "server/crypto/key_file_text.hpp"

namespace pam::runtime {
namespace {

using loaded_keys = boost::system::result<crypto::key_ring, config_error>;

config_error at_fault(const char* key, const std::string& origin, const crypto::error& failure) {
  return {key, origin, failure.detail};
}

loaded_keys load_file(const std::string& file, const crypto::sealer* key) {
  auto keys = crypto::key_ring::load(file, key);
  if (keys.has_error()) return at_fault("keys.file", file, keys.error());
  return {boost::system::in_place_value, std::move(*keys)};
}

}  // namespace

loaded_keys load_keys(const configuration& settings) {
  const auto& from = settings.keys;
  if (!from.encryption_key_file.empty()) {
    const auto key = crypto::sealer::load(from.encryption_key_file);
    if (key.has_error()) return at_fault("keys.encryption_key_file", from.encryption_key_file, key.error());
    return load_file(from.file, &*key);
  }
  if (!from.encryption_key_command.empty()) {
    const auto key = crypto::sealer_from_command(from.encryption_key_command);
    if (key.has_error()) return at_fault("keys.encryption_key_command", "the command", key.error());
    return load_file(from.file, &*key);
  }
  return load_file(from.file, nullptr);
}

}  // namespace pam::runtime
