#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/uuid/uuid.hpp>

#include "db/statement.hpp"

namespace pam::db {

/// A moment as PostgreSQL stores it: microseconds since the Unix epoch, UTC.
using timestamp = std::chrono::sys_time<std::chrono::microseconds>;

/// Owned parameter values of one call, in order. All values live in one buffer that is wiped when the
/// object dies. Move-only.
///
///     db::params p;
///     p.add(session_id).add(std::span{hash}).add(now).add_text(email);
class params {
 public:
  params() = default;
  params(params&& other) noexcept;
  params& operator=(params&& other) noexcept;
  params(const params&) = delete;
  params& operator=(const params&) = delete;
  ~params();

  /// The same values again, for a statement that may have to be asked in two places.
  [[nodiscard]] params copy() const;

  params& add(const boost::uuids::uuid& value);
  params& add(std::span<const std::byte> value);  ///< bytea
  params& add(std::int16_t value);
  params& add(std::int32_t value);
  params& add(std::int64_t value);
  params& add(bool value);
  params& add(timestamp value);
  /// Text form of any type (text, jsonb, inet, arrays): the server parses it as the declared type.
  params& add_text(std::string_view value);
  params& add_text(const std::string& value) { return add_text(std::string_view{value}); }
  params& add_text(const char* value) { return add_text(std::string_view{value}); }
  params& add_null();

  template <class T>
  params& add(const std::optional<T>& value) {
    if (value) return add(*value);
    return add_null();
  }
  params& add_text(const std::optional<std::string>& value) {
    return value ? add_text(std::string_view{*value}) : add_null();
  }

  [[nodiscard]] std::size_t size() const { return count_; }
  /// Bytes of all values; counts against a batch's byte limit.
  [[nodiscard]] std::size_t bytes() const { return buffer_.size(); }
  [[nodiscard]] bool is_null(std::size_t index) const { return slots_[index].length < 0; }
  /// Bytes of the value as sent; compared to order the writes of a batch by lock key.
  [[nodiscard]] std::string_view value(std::size_t index) const;
  [[nodiscard]] bool is_binary(std::size_t index) const { return slots_[index].is_binary; }

 private:
  struct slot {
    std::uint32_t offset = 0;
    std::int32_t length = -1;
    bool is_binary = false;
  };
  void push(const void* data, std::size_t length, bool is_binary);

  std::string buffer_;  // every value is followed by a NUL, as libpq wants for text
  std::array<slot, max_parameters> slots_{};
  std::uint8_t count_ = 0;
};

}  // namespace pam::db
