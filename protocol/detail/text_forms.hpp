#pragma once

#include <array>
#include <string_view>

#include "protocol/objects.hpp"

namespace pam::protocol::detail {

/// The texts of objects.hpp without an allocation: an answer holds a dozen of them.
using time_text = std::array<char, 27>;
using uuid_text = std::array<char, 36>;

[[nodiscard]] time_text text_of(timestamp value);
[[nodiscard]] uuid_text text_of(const boost::uuids::uuid& value);

template <std::size_t N>
[[nodiscard]] std::string_view view(const std::array<char, N>& text) {
  return {text.data(), text.size()};
}

}  // namespace pam::protocol::detail
