#include "server/net/detail/chunk_decoder.hpp"

#include <algorithm>
#include <cstring>

namespace pam::net::detail {
namespace {

constexpr int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

chunk_decoder::progress chunk_decoder::decode(char* out, std::string_view in) {
  progress done;
  while (done.consumed < in.size() && state_ != state::done && state_ != state::refused) {
    if (state_ != state::data) {
      state_ = step(in[done.consumed++]);
      continue;
    }
    const std::size_t length = std::min(chunk_, in.size() - done.consumed);
    std::memmove(out + done.produced, in.data() + done.consumed, length);
    done.consumed += length;
    done.produced += length;
    decoded_ += length;
    chunk_ -= length;
    if (chunk_ == 0) state_ = state::data_return;
  }
  return done;
}

chunk_decoder::state chunk_decoder::step(char c) {
  switch (state_) {
    case state::size_first:
      digits_ = 0;
      chunk_ = 0;
      return take_digit(c);
    case state::size:
      if (c == '\r') return state::size_feed;
      if (c == ';') return state::extension;
      return take_digit(c);
    case state::extension:
      return ignore(c, state::extension, state::size_feed);
    case state::size_feed:
      return c == '\n' ? after_size_line() : refuse(malformed("A chunk size line ends without CRLF."));
    case state::data_return:
      return c == '\r' ? state::data_feed : refuse(malformed("A chunk is longer than its size."));
    case state::data_feed:
      return c == '\n' ? state::size_first : refuse(malformed("A chunk ends without CRLF."));
    case state::trailer_first:
      return c == '\r' ? state::last_feed : ignore(c, state::trailer, state::trailer_feed);
    case state::trailer:
      return ignore(c, state::trailer, state::trailer_feed);
    case state::trailer_feed:
      return c == '\n' ? state::trailer_first : refuse(malformed("A trailer line ends without CRLF."));
    case state::last_feed:
      return c == '\n' ? state::done : refuse(malformed("The body ends without CRLF."));
    case state::data:
    case state::done:
    case state::refused:
      break;
  }
  return state_;
}

chunk_decoder::state chunk_decoder::take_digit(char c) {
  const int value = digit_value(c);
  if (value < 0) return refuse(malformed("A chunk size is not a hexadecimal number."));
  if (++digits_ > size_digits) return refuse(malformed("A chunk size has more than 8 digits."));
  chunk_ = chunk_ * 16 + static_cast<std::size_t>(value);
  return state::size;
}

chunk_decoder::state chunk_decoder::after_size_line() {
  if (chunk_ > body_limit_ - decoded_) {
    return refuse({413, "request_entity_too_large", "The body is larger than the configured limit."});
  }
  return chunk_ == 0 ? state::trailer_first : state::data;
}

chunk_decoder::state chunk_decoder::ignore(char c, state same, state at_return) {
  if (c == '\r') return at_return;
  const auto code = static_cast<unsigned char>(c);
  if ((code < ' ' && c != '\t') || code == 0x7f) {
    return refuse(malformed("A chunk extension or trailer contains a control character."));
  }
  if (++ignored_ > ignored_limit)
    return refuse(malformed("Chunk extensions and trailers exceed 4096 bytes."));
  return same;
}

chunk_decoder::state chunk_decoder::refuse(const refusal& why) {
  why_ = why;
  return state::refused;
}

}  // namespace pam::net::detail
