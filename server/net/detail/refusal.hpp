#pragma once

#include <string_view>

namespace pam::net::detail {

/// Why the network layer answers a request itself. Status 0: there is nothing to refuse. The texts are
/// literals.
struct refusal {
  unsigned status = 0;
  std::string_view code;
  std::string_view detail;

  explicit operator bool() const { return status != 0; }
};

/// 400 with the rule that was broken.
constexpr refusal malformed(std::string_view detail) {
  return {400, "bad_request", detail};
}

}  // namespace pam::net::detail
