#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "server/net/config.hpp"
#include "server/net/detail/chunk_decoder.hpp"
#include "server/net/detail/head_parser.hpp"
#include "server/net/detail/refusal.hpp"
#include "server/net/request_context.hpp"

namespace pam::net::detail {

/// Receives one request into its own buffer and makes a request_context of it without copying: the
/// context's views point into the buffer. Knows no socket; gives the same result however the bytes are cut.
class request_reader {
 public:
  enum class stage : std::uint8_t { head, sized_body, chunked_body, complete, refused };

  /// @param into  filled as the request is understood; must outlive the reader
  explicit request_reader(request_context& into) : into_(into) {}
  request_reader(const request_reader&) = delete;
  request_reader& operator=(const request_reader&) = delete;
  ~request_reader() { wipe(); }

  /// Free room for the next read, at least one byte. Grows the buffer (and rebases the views) when full.
  [[nodiscard]] std::span<char> room();
  /// Says that `bytes` were read into `room()`.
  void received(std::size_t bytes) { size_ += bytes; }
  /// Takes bytes that came with the previous request.
  void append(std::string_view bytes);

  /// Works on what has been received.
  stage advance(const limits& bounds);

  [[nodiscard]] stage now() const { return stage_; }
  [[nodiscard]] bool is_empty() const { return size_ == 0; }
  /// Memory it holds.
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] const refusal& why() const { return why_; }
  /// The client waits for `100 Continue` before it sends the body, none of which has arrived.
  [[nodiscard]] bool wants_continue() const { return body_.expects_continue && size_ == body_begin_; }
  /// Bytes after a complete request: the next one, pipelined.
  [[nodiscard]] std::string_view rest() const { return {buffer_.get() + raw_begin_, size_ - raw_begin_}; }

  /// Ready for another request. What was received is overwritten: it holds passwords and tokens.
  void reset();

 private:
  static constexpr std::size_t first_capacity = 4 * 1024;
  static constexpr std::size_t kept_capacity = 16 * 1024;

  stage read_head(const limits& bounds);
  stage read_body();
  stage decode_chunks();
  void reserve(std::size_t capacity);
  void wipe();

  request_context& into_;
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
  std::size_t body_begin_ = 0;
  std::size_t body_end_ = 0;   ///< of a chunked body: end of what is decoded
  std::size_t raw_begin_ = 0;  ///< first byte that is not yet part of the request
  head_scanner scanner_;
  framing body_;
  chunk_decoder chunks_;
  stage stage_ = stage::head;
  refusal why_;
};

/// A request, its answer and the buffer both live in; pooled by the connection set.
struct exchange : request_context {
  request_reader reader{*this};

  /// Ready for another request; keeps memory worth keeping.
  void reset();
};

}  // namespace pam::net::detail
