#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

#include "server/runtime/config.hpp"

namespace pam::cli {

/// Bounds of a machine token's life.
inline constexpr std::chrono::seconds shortest_machine_token = std::chrono::minutes{1};
inline constexpr std::chrono::seconds longest_machine_token = std::chrono::hours{24 * 365};

struct token_request {
  std::string role;                 ///< one of tokens.admin_roles
  std::chrono::seconds lifetime{};  ///< within the bounds above
  std::string subject = "machine";  ///< who uses it: 1 to 255 visible characters; stands in the audit log
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
};

/// `pam-auth token`: mints a machine token under the current machine key of `keys.file` and prints it with
/// a line feed, nothing else, on `out`. It cannot be revoked before its end except by replacing the key.
/// `err` gets the end of its life, or why there is none.
int run_token(const runtime::configuration& settings, const token_request& wanted, std::ostream& out,
              std::ostream& err);

}  // namespace pam::cli
