#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "server/net/config.hpp"
#include "server/net/detail/refusal.hpp"
#include "server/net/request_context.hpp"

namespace pam::net::detail {

/// Finds the empty line that ends a request head, and refuses what the line structure alone shows:
/// bare LF, obs-fold, too many lines, too many bytes. Resumable: looks at each byte once, and gives the
/// same answer however the bytes arrive.
class head_scanner {
 public:
  enum class outcome : std::uint8_t { need_more, found, refused };

  /// @param bytes  everything received since the request began; must only grow between calls
  outcome scan(std::string_view bytes, const limits& bounds);

  [[nodiscard]] std::size_t begin() const { return begin_; }  ///< after ignored empty lines
  [[nodiscard]] std::size_t end() const { return end_; }      ///< after the empty line, once found
  [[nodiscard]] const refusal& why() const { return why_; }

 private:
  outcome refuse(const refusal& why);
  outcome too_large();

  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t next_ = 0;   ///< first byte not looked at
  std::size_t line_ = 0;   ///< where the current line begins
  std::size_t lines_ = 0;  ///< complete lines, the request line included
  refusal why_;
};

/// What the head says about the body and the connection.
struct framing {
  bool is_chunked = false;
  std::uint64_t content_length = 0;
  bool expects_continue = false;
};

/// Parses one complete head into `into` (verb, target, path, query, fields, keep_alive). Views point
/// into `head`. Strict against request smuggling (RFC 9112 sections 6.1, 6.3, 11.2): a message whose
/// framing has two readings is refused, never guessed.
/// @param head  from the request line to the empty line, both included
/// @return the reason to refuse it, or an empty one
[[nodiscard]] refusal parse_head(std::string_view head, const limits& bounds, request_context& into,
                                 framing& body);

}  // namespace pam::net::detail
