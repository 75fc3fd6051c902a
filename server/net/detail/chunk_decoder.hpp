#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "server/net/detail/refusal.hpp"

namespace pam::net::detail {

/// Decodes a chunked body (RFC 9112 section 7.1) as its bytes arrive, in place. Strict: no white space
/// around the size, CRLF only, extensions and trailers are skipped within a bound.
class chunk_decoder {
 public:
  struct progress {
    std::size_t consumed = 0;  ///< of the input
    std::size_t produced = 0;  ///< decoded bytes written to `out`
  };

  explicit chunk_decoder(std::size_t body_limit = 0) : body_limit_(body_limit) {}

  /// Takes as much of `in` as belongs to the body. `out` may overlap with `in` when it lies before it:
  /// what is written never passes what was read.
  /// Stops at the end of the body (`is_done()`) or at a violation (`why()`).
  progress decode(char* out, std::string_view in);

  [[nodiscard]] bool is_done() const { return state_ == state::done; }
  [[nodiscard]] const refusal& why() const { return why_; }

 private:
  enum class state : std::uint8_t {
    size_first,
    size,
    extension,
    size_feed,
    data,
    data_return,
    data_feed,
    trailer_first,
    trailer,
    trailer_feed,
    last_feed,
    done,
    refused
  };
  /// Bytes of chunk extensions and trailers together: they carry nothing we read.
  static constexpr std::size_t ignored_limit = 4096;
  static constexpr unsigned size_digits = 8;

  state step(char c);
  state take_digit(char c);
  state after_size_line();
  state ignore(char c, state same, state at_return);
  state refuse(const refusal& why);

  std::size_t body_limit_;
  std::size_t decoded_ = 0;
  std::size_t chunk_ = 0;  ///< bytes of the current chunk still to come
  std::size_t ignored_ = 0;
  unsigned digits_ = 0;
  state state_ = state::size_first;
  refusal why_;
};

}  // namespace pam::net::detail
