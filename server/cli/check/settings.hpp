#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "server/cli/check/facts.hpp"

namespace pam::cli::check {

/// A setting's text, or nothing when the server did not show it.
[[nodiscard]] inline std::optional<std::string> shown(const setting_map& settings, std::string_view name) {
  const auto at = settings.find(name);
  if (at == settings.end()) return std::nullopt;
  return at->second;
}

/// A setting as a number; seconds may have a fraction.
[[nodiscard]] inline std::optional<double> number(const setting_map& settings, std::string_view name) {
  const auto at = settings.find(name);
  if (at == settings.end()) return std::nullopt;
  double value = 0;
  const std::string& text = at->second;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec != std::errc{} || end.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

[[nodiscard]] inline bool is_value(const setting_map& settings, std::string_view name,
                                   std::string_view value) {
  return shown(settings, name) == value;
}

/// Whole numbers without a fraction, others with the digits they need.
[[nodiscard]] inline std::string plain(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value);
  return {text, end.ptr};
}

}  // namespace pam::cli::check
