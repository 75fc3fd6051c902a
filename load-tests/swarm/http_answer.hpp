#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace pam::load {

/// One HTTP/1.1 answer with a Content-Length, as our server sends it. Views into the parsed bytes.
struct http_answer {
  unsigned status = 0;
  std::string_view head;
  std::string_view body;
  bool closes = false;
  std::optional<unsigned> retry_after;  ///< seconds
  std::size_t bytes = 0;                ///< head and body
};

struct parsed_answer {
  std::optional<http_answer> answer;  ///< empty: not complete yet
  bool is_malformed = false;
};

/// Reads the answer that begins at the first byte. Interim answers (1xx) are malformed here: nothing we
/// send asks for one.
[[nodiscard]] parsed_answer parse_answer(std::string_view bytes);

}  // namespace pam::load
