#include "server/net/detail/request_reader.hpp"

#include <strings.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

namespace pam::net::detail {

std::span<char> request_reader::room() {
  if (size_ == capacity_) reserve(std::max(first_capacity, capacity_ * 2));
  return {buffer_.get() + size_, capacity_ - size_};
}

void request_reader::append(std::string_view bytes) {
  if (size_ + bytes.size() > capacity_) reserve(std::max(first_capacity, size_ + bytes.size()));
  std::memcpy(buffer_.get() + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

request_reader::stage request_reader::advance(const limits& bounds) {
  if (stage_ == stage::head) stage_ = read_head(bounds);
  if (stage_ == stage::sized_body) stage_ = read_body();
  if (stage_ == stage::chunked_body) stage_ = decode_chunks();
  return stage_;
}

request_reader::stage request_reader::read_head(const limits& bounds) {
  const std::string_view received{buffer_.get(), size_};
  switch (scanner_.scan(received, bounds)) {
    case head_scanner::outcome::need_more:
      return stage::head;
    case head_scanner::outcome::refused:
      why_ = scanner_.why();
      return stage::refused;
    case head_scanner::outcome::found:
      break;
  }
  const std::string_view head = received.substr(scanner_.begin(), scanner_.end() - scanner_.begin());
  why_ = parse_head(head, bounds, into_, body_);
  if (why_) return stage::refused;
  body_begin_ = body_end_ = raw_begin_ = scanner_.end();
  if (body_.is_chunked) {
    chunks_ = chunk_decoder(bounds.body_bytes);
    return stage::chunked_body;
  }
  // One growth at most: the length is known and was checked.
  reserve(body_begin_ + static_cast<std::size_t>(body_.content_length));
  return stage::sized_body;
}

request_reader::stage request_reader::read_body() {
  const auto length = static_cast<std::size_t>(body_.content_length);
  if (size_ - body_begin_ < length) return stage::sized_body;
  into_.body = {buffer_.get() + body_begin_, length};
  raw_begin_ = body_begin_ + length;
  return stage::complete;
}

request_reader::stage request_reader::decode_chunks() {
  const std::string_view raw{buffer_.get() + raw_begin_, size_ - raw_begin_};
  const chunk_decoder::progress step = chunks_.decode(buffer_.get() + body_end_, raw);
  body_end_ += step.produced;
  raw_begin_ += step.consumed;
  if (chunks_.why()) {
    why_ = chunks_.why();
    return stage::refused;
  }
  if (chunks_.is_done()) {
    into_.body = {buffer_.get() + body_begin_, body_end_ - body_begin_};
    return stage::complete;
  }
  // Everything was taken: the framing is given back, so that the buffer never exceeds head and body.
  ::explicit_bzero(buffer_.get() + body_end_, size_ - body_end_);
  size_ = raw_begin_ = body_end_;
  return stage::chunked_body;
}

void request_reader::reserve(std::size_t capacity) {
  if (capacity <= capacity_) return;
  auto grown = std::make_unique_for_overwrite<char[]>(capacity);
  if (size_ != 0) std::memcpy(grown.get(), buffer_.get(), size_);
  const char* const old_begin = buffer_.get();
  const char* const old_end = old_begin + capacity_;
  const auto rebase = [&](std::string_view& text) {
    // Views that are literals ("/" for an absent path) stay.
    const bool is_ours = std::less_equal<>()(old_begin, text.data()) && std::less<>()(text.data(), old_end);
    if (is_ours) text = {grown.get() + (text.data() - old_begin), text.size()};
  };
  if (old_begin != nullptr) {
    for (header_field& field : into_.fields) {
      rebase(field.name);
      rebase(field.value);
    }
    rebase(into_.target);
    rebase(into_.path);
    rebase(into_.query);
    ::explicit_bzero(buffer_.get(), size_);
  }
  buffer_ = std::move(grown);
  capacity_ = capacity;
}

void request_reader::wipe() {
  if (buffer_) ::explicit_bzero(buffer_.get(), size_);
}

void request_reader::reset() {
  wipe();
  if (capacity_ > kept_capacity) {
    buffer_.reset();
    capacity_ = 0;
  }
  size_ = body_begin_ = body_end_ = raw_begin_ = 0;
  scanner_ = {};
  body_ = {};
  chunks_ = chunk_decoder{};
  stage_ = stage::head;
  why_ = {};
}

void exchange::reset() {
  constexpr std::size_t kept_body = 16 * 1024;
  reader.reset();
  verb = method::other;
  target = path = query = body = {};
  fields.clear();
  keep_alive = true;
  route = "";
  path_parameters = {};
  costs = {};
  timeline.reset();
  ::explicit_bzero(out.body.data(), out.body.size());
  out.body.clear();
  if (out.body.capacity() > kept_body) out.body.shrink_to_fit();
  out.document.reset();
  out.headers.clear();
  static_cast<response_head&>(out) = {};
}

}  // namespace pam::net::detail
