#include "db/params.hpp"

#include <cassert>
#include <cstring>
#include <utility>

#include <boost/endian/conversion.hpp>

namespace pam::db {

namespace {

// PostgreSQL counts microseconds from 2000-01-01 (src/include/datatype/timestamp.h).
constexpr std::int64_t postgres_epoch_us = 946'684'800'000'000;

// A buffer that held parameters is overwritten before its memory is given back: they may be secrets.
void wipe(std::string& text) {
  text.resize(text.capacity());
  explicit_bzero(text.data(), text.size());
  text.clear();
}

}  // namespace

params::params(params&& other) noexcept
    : buffer_(std::move(other.buffer_)), slots_(other.slots_), count_(std::exchange(other.count_, {})) {
  wipe(other.buffer_);  // a short buffer lives inside the object and was copied
}

params& params::operator=(params&& other) noexcept {
  if (this != &other) {
    wipe(buffer_);
    buffer_ = std::move(other.buffer_);
    slots_ = other.slots_;
    count_ = std::exchange(other.count_, {});
    wipe(other.buffer_);
  }
  return *this;
}

params::~params() {
  wipe(buffer_);
}

params params::copy() const {
  params same;
  same.buffer_.reserve(buffer_.size());
  same.buffer_.append(buffer_);
  same.slots_ = slots_;
  same.count_ = count_;
  return same;
}

void params::push(const void* data, std::size_t length, bool is_binary) {
  assert(count_ < max_parameters);
  const std::size_t needed = buffer_.size() + length + 1;
  if (needed > buffer_.capacity()) {
    // std::string would free its old memory without wiping it.
    std::string larger;
    larger.reserve(needed < 128 ? 256 : needed * 2);
    larger.append(buffer_);
    wipe(buffer_);
    buffer_ = std::move(larger);
  }
  slot& where = slots_[count_++];
  where.offset = static_cast<std::uint32_t>(buffer_.size());
  where.length = static_cast<std::int32_t>(length);
  where.is_binary = is_binary;
  if (length != 0) buffer_.append(static_cast<const char*>(data), length);
  buffer_.push_back('\0');
}

params& params::add(const boost::uuids::uuid& value) {
  push(value.data, 16, true);
  return *this;
}

params& params::add(std::span<const std::byte> value) {
  push(value.data(), value.size(), true);
  return *this;
}

params& params::add(std::int16_t value) {
  boost::endian::native_to_big_inplace(value);
  push(&value, sizeof value, true);
  return *this;
}

params& params::add(std::int32_t value) {
  boost::endian::native_to_big_inplace(value);
  push(&value, sizeof value, true);
  return *this;
}

params& params::add(std::int64_t value) {
  boost::endian::native_to_big_inplace(value);
  push(&value, sizeof value, true);
  return *this;
}

params& params::add(bool value) {
  const char byte = value ? 1 : 0;
  push(&byte, 1, true);
  return *this;
}

params& params::add(timestamp value) {
  return add(std::int64_t{value.time_since_epoch().count() - postgres_epoch_us});
}

params& params::add_text(std::string_view value) {
  push(value.data(), value.size(), false);
  return *this;
}

params& params::add_null() {
  assert(count_ < max_parameters);
  slots_[count_++] = slot{};
  return *this;
}

std::string_view params::value(std::size_t index) const {
  const slot& where = slots_[index];
  if (where.length < 0) return {};
  return std::string_view{buffer_}.substr(where.offset, static_cast<std::size_t>(where.length));
}

}  // namespace pam::db
