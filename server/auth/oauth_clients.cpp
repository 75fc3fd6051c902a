#include "server/auth/oauth_clients.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "server/crypto/random.hpp"

namespace pam::auth {
namespace {

constexpr std::string_view scheme = ":sha256:";
constexpr std::size_t max_id = 64;
constexpr std::string_view hex_digits = "0123456789abcdef";

std::string to_hex(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte each : bytes) {
    text += hex_digits[std::to_integer<std::size_t>(each >> 4)];
    text += hex_digits[std::to_integer<std::size_t>(each & std::byte{15})];
  }
  return text;
}

bool is_id(std::string_view id) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !id.empty() && id.size() <= max_id && std::ranges::all_of(id, is_plain);
}

}  // namespace

std::optional<oauth_client> parse_oauth_client(std::string_view entry) {
  oauth_client client;
  const std::size_t at = entry.find(scheme);
  if (at == std::string_view::npos || !is_id(entry.substr(0, at))) return std::nullopt;
  const std::string_view digits = entry.substr(at + scheme.size());
  if (digits.size() != 2 * client.secret_hash.size()) return std::nullopt;
  client.id = entry.substr(0, at);
  for (std::size_t i = 0; i < client.secret_hash.size(); ++i) {
    const auto high = hex_digits.find(digits[2 * i]);
    const auto low = hex_digits.find(digits[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    client.secret_hash[i] = static_cast<std::byte>(high * 16 + low);
  }
  return client;
}

std::string to_entry(std::string_view id, const crypto::secret& secret) {
  std::string entry{id};
  return entry.append(scheme).append(to_hex(crypto::sha256(secret.view())));
}

crypto::secret new_client_secret() {
  std::array<std::byte, 32> bytes = {};
  crypto::fill_random(bytes);
  std::string text = to_hex(bytes);
  crypto::secret made{text};
  crypto::wipe(text.data(), text.size());
  crypto::wipe(bytes.data(), bytes.size());
  return made;
}

oauth_clients::oauth_clients(const std::vector<std::string>& entries) {
  for (const std::string& entry : entries) {
    if (auto client = parse_oauth_client(entry)) clients_.push_back(std::move(*client));
  }
}

std::optional<std::string> oauth_clients::authenticate(std::string_view id, std::string_view secret) const {
  const crypto::sha256_digest presented = crypto::sha256(secret);
  std::optional<std::string> found;
  for (const oauth_client& each : clients_) {
    const bool is_right = crypto::equal(each.secret_hash, presented);
    if (is_right && each.id == id) found = each.id;
  }
  return found;
}

}  // namespace pam::auth
