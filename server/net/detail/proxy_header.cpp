#include "server/net/detail/proxy_header.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "server/net/networks.hpp"

namespace pam::net::detail {
namespace {

namespace ip = boost::asio::ip;
using outcome = proxy_header::outcome;

constexpr std::string_view v1_prefix = "PROXY ";
constexpr std::size_t v1_limit = 107;  // with its CRLF
constexpr std::string_view v2_signature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr std::size_t v2_fixed = 16;
constexpr std::size_t v4_addresses = 12;
constexpr std::size_t v6_addresses = 36;
constexpr std::size_t unix_addresses = 216;
constexpr unsigned tlv_crc32c = 0x03;

proxy_header refused() {
  return {outcome::refused, 0, std::nullopt};
}

/// Whether one of both is how the other begins.
bool agree(std::string_view bytes, std::string_view wanted) {
  const std::size_t common = std::min(bytes.size(), wanted.size());
  return bytes.substr(0, common) == wanted.substr(0, common);
}

unsigned byte_at(std::string_view bytes, std::size_t at) {
  return static_cast<unsigned char>(bytes[at]);
}

std::size_t number_at(std::string_view bytes, std::size_t at) {
  return byte_at(bytes, at) << 8U | byte_at(bytes, at + 1);
}

// ---- version 1 ------------------------------------------------------------------------------------

/// Decimal, without sign or leading zeros.
bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return false;
  unsigned value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value <= 65'535;
}

std::optional<ip::address> address_of(std::string_view text, bool is_v4) {
  // Among others no NUL, at which a C string ends, and no scope ("%eth0"): a link of the proxy's host.
  if (text.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return std::nullopt;
  boost::system::error_code failure;
  const ip::address address = ip::make_address(std::string{text}, failure);
  if (failure || address.is_v4() != is_v4) return std::nullopt;
  return unmapped(address);
}

/// @param line  between the prefix and CRLF
proxy_header read_v1_line(std::string_view line, std::size_t length) {
  // "UNKNOWN" may be followed by anything (section 2.1).
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return {outcome::found, length, std::nullopt};
  std::array<std::string_view, 5> parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t end = line.find(' ');
    if ((end == std::string_view::npos) != (i + 1 == parts.size())) return refused();
    parts[i] = line.substr(0, end);
    line.remove_prefix(std::min(line.size(), parts[i].size() + 1));
  }
  const bool is_v4 = parts[0] == "TCP4";
  if (!is_v4 && parts[0] != "TCP6") return refused();
  const auto source = address_of(parts[1], is_v4);
  const auto target = address_of(parts[2], is_v4);
  if (!source || !target || !is_port(parts[3]) || !is_port(parts[4])) return refused();
  return {outcome::found, length, source};
}

proxy_header read_v1(std::string_view bytes) {
  const std::string_view allowed = bytes.substr(0, v1_limit);
  const std::size_t feed = allowed.find('\n');
  if (feed == std::string_view::npos) {
    // A return must be followed by its feed at once.
    const std::size_t back = allowed.find('\r');
    if (back != std::string_view::npos && back + 1 != allowed.size()) return refused();
    return allowed.size() == v1_limit ? refused() : proxy_header{};
  }
  // The prefix has neither, so the line is longer.
  if (allowed[feed - 1] != '\r') return refused();
  const std::string_view line = allowed.substr(v1_prefix.size(), feed - 1 - v1_prefix.size());
  if (line.find('\r') != std::string_view::npos) return refused();
  return read_v1_line(line, feed + 1);
}

// ---- version 2 ------------------------------------------------------------------------------------

/// CRC-32C (Castagnoli, reflected) of the header, its own field taken as zero.
std::uint32_t crc32c(std::string_view bytes, std::size_t field) {
  std::uint32_t crc = 0xffffffffU;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i < field || i >= field + 4) crc ^= byte_at(bytes, i);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

/// The TLVs from `at` on fill the header exactly, and a checksum among them is right.
bool are_tlvs_sound(std::string_view header, std::size_t at) {
  while (at < header.size()) {
    if (header.size() - at < 3) return false;
    const unsigned type = byte_at(header, at);
    const std::size_t size = number_at(header, at + 1);
    at += 3;
    if (header.size() - at < size) return false;
    if (type == tlv_crc32c) {
      if (size != 4) return false;
      const std::size_t told = number_at(header, at) << 16U | number_at(header, at + 2);
      if (told != crc32c(header, at)) return false;
    }
    at += size;
  }
  return true;
}

std::optional<ip::address> v2_client(std::string_view header, bool is_v4) {
  const auto copy_to = [&](auto& bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<unsigned char>(header[v2_fixed + i]);
    }
  };
  if (is_v4) {
    ip::address_v4::bytes_type bytes{};
    copy_to(bytes);
    return ip::address_v4{bytes};
  }
  ip::address_v6::bytes_type bytes{};
  copy_to(bytes);
  return unmapped(ip::address_v6{bytes});
}

proxy_header read_v2(std::string_view bytes) {
  if (bytes.size() < v2_fixed) return {};
  const unsigned version = byte_at(bytes, 12) >> 4U;
  const unsigned command = byte_at(bytes, 12) & 0x0fU;
  const unsigned family = byte_at(bytes, 13) >> 4U;
  const unsigned transport = byte_at(bytes, 13) & 0x0fU;
  const std::size_t length = v2_fixed + number_at(bytes, 14);
  if (version != 2 || command > 1 || family > 3 || transport > 2 || length > proxy_header_limit) {
    return refused();
  }
  constexpr std::array<std::size_t, 4> sizes{0, v4_addresses, v6_addresses, unix_addresses};
  const bool is_local = command == 0;
  // A LOCAL header's addresses are to be ignored, whatever they are.
  const std::size_t addresses = is_local ? 0 : sizes[family];
  if (length < v2_fixed + addresses) return refused();
  if (bytes.size() < length) return {};
  const std::string_view header = bytes.substr(0, length);
  if (is_local || family == 0) return {outcome::found, length, std::nullopt};
  if (!are_tlvs_sound(header, v2_fixed + addresses)) return refused();
  constexpr unsigned stream = 1;
  if (family > 2 || transport != stream) return {outcome::found, length, std::nullopt};
  return {outcome::found, length, v2_client(header, family == 1)};
}

}  // namespace

proxy_header read_proxy_header(std::string_view bytes) {
  if (bytes.empty()) return {};
  if (agree(bytes, v1_prefix)) return bytes.size() < v1_prefix.size() ? proxy_header{} : read_v1(bytes);
  if (agree(bytes, v2_signature)) return read_v2(bytes);
  return refused();
}

}  // namespace pam::net::detail
