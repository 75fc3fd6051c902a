#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pam::cli::check {

enum class severity : std::uint8_t {
  ok,       ///< looked at, and right
  note,     ///< worth knowing
  warning,  ///< will hurt under load or in a failure
  danger,   ///< loses data, mixes up accounts, or does not serve
};
[[nodiscard]] std::string_view to_string(severity value);

/// One judgement, in words an operator can act on.
struct finding {
  severity level = severity::ok;
  std::string subject;  ///< "pooler.query_wait_timeout"
  std::string text;     ///< what is, and why it matters
  std::string cure;     ///< what to do; empty where nothing needs doing
};
using findings = std::vector<finding>;

[[nodiscard]] severity worst(std::span<const finding> all);

/// One line a finding, "warning  subject: text. Cure: ...", and a closing line with the counts.
[[nodiscard]] std::string as_text(std::span<const finding> all);
/// {"worst": "...", "findings": [{"severity", "subject", "text", "cure"}]}
[[nodiscard]] std::string as_json(std::span<const finding> all);

}  // namespace pam::cli::check
