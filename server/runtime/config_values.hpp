#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "db/config.hpp"

namespace pam::runtime {

/// A whole number and a unit: ms, s, m, h or d ("900s", "15m", "30d"). Nothing else; nullopt on overflow.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
/// The shortest exact form `parse_duration` reads: "15m", "1500ms", "0s".
[[nodiscard]] std::string format_duration(std::chrono::milliseconds value);

/// A whole number and a unit: B, KiB, MiB or GiB. nullopt on anything else and on overflow.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);
/// The shortest exact form `parse_size` reads: "64KiB", "1000B".
[[nodiscard]] std::string format_size(std::uint64_t bytes);

/// "name", "name:port", "10.0.0.1:5432", "[::1]:5432", "/run/postgresql" or "/run/postgresql:6432".
/// The port defaults to 5432.
[[nodiscard]] std::optional<db::endpoint> parse_endpoint(std::string_view text);
/// The form `parse_endpoint` reads, always with the port.
[[nodiscard]] std::string format_endpoint(const db::endpoint& where);

/// A TOML basic string of `text`.
[[nodiscard]] std::string quoted(std::string_view text);
/// `quoted`, but cut to a length that fits a message.
[[nodiscard]] std::string quoted_short(std::string_view text);

/// Up to `count` candidates that look like `wanted`, the most similar first: those that contain it, then
/// those it may be a typo of.
[[nodiscard]] std::vector<std::string_view> nearest_of(std::string_view wanted,
                                                       const std::vector<std::string_view>& candidates,
                                                       std::size_t count);
/// The candidate most like `wanted`, or an empty view when none is similar enough to be a typo of it.
[[nodiscard]] std::string_view nearest(std::string_view wanted,
                                       const std::vector<std::string_view>& candidates);

}  // namespace pam::runtime
