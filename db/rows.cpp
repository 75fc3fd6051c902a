#include "db/rows.hpp"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>
#include <limits>
#include <ranges>

#include <libpq-fe.h>
#include <boost/endian/conversion.hpp>

namespace pam::db {

namespace {

constexpr std::int64_t postgres_epoch_us = 946'684'800'000'000;  // see params.cpp

// The value's bytes, which must be exactly as many as the type has: a wrong accessor is a bug and must
// not read beyond the value in a release build either.
template <class T>
T integer(std::string_view raw) {
  assert(raw.size() == sizeof(T));
  if (raw.size() != sizeof(T)) return 0;
  T value{};
  std::memcpy(&value, raw.data(), sizeof value);
  return boost::endian::big_to_native(value);
}

}  // namespace

rows::rows(pg_result* result, std::uint64_t replayed)
    : result_(result, PQclear),
      count_(result == nullptr ? 0 : static_cast<std::size_t>(PQntuples(result))),
      replayed_(replayed) {}

rows rows::share_of(std::int64_t caller) const {
  const auto numbers = std::views::iota(std::size_t{0}, size());
  const auto mine =
      std::ranges::equal_range(numbers, caller, {}, [this](std::size_t row) { return int8(row, 0); });
  rows share = *this;
  share.first_ += static_cast<std::size_t>(mine.begin() - numbers.begin());
  share.count_ = static_cast<std::size_t>(mine.size());
  share.first_column_ += 1;
  return share;
}

std::int64_t rows::affected() const {
  if (!result_) return 0;
  const std::string_view text{PQcmdTuples(result_.get())};
  std::int64_t count = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), count).ec != std::errc{}) return 0;
  // PQcmdTuples counts the rows of a SELECT too.
  return std::string_view{PQcmdStatus(result_.get())}.starts_with("SELECT") ? 0 : count;
}

bool rows::is_null(std::size_t row, std::size_t column) const {
  return PQgetisnull(result_.get(), static_cast<int>(first_ + row),
                     static_cast<int>(first_column_ + column)) != 0;
}

std::string_view rows::text(std::size_t row, std::size_t column) const {
  const int r = static_cast<int>(first_ + row);
  const int c = static_cast<int>(first_column_ + column);
  return {PQgetvalue(result_.get(), r, c), static_cast<std::size_t>(PQgetlength(result_.get(), r, c))};
}

std::span<const std::byte> rows::bytes(std::size_t row, std::size_t column) const {
  return std::as_bytes(std::span{text(row, column)});
}

boost::uuids::uuid rows::uuid(std::size_t row, std::size_t column) const {
  boost::uuids::uuid value{};
  const std::string_view raw = text(row, column);
  assert(raw.size() == sizeof value.data);
  if (raw.size() == sizeof value.data) std::memcpy(value.data, raw.data(), raw.size());
  return value;
}

std::int16_t rows::int2(std::size_t row, std::size_t column) const {
  return integer<std::int16_t>(text(row, column));
}

std::int32_t rows::int4(std::size_t row, std::size_t column) const {
  return integer<std::int32_t>(text(row, column));
}

std::int64_t rows::int8(std::size_t row, std::size_t column) const {
  return integer<std::int64_t>(text(row, column));
}

bool rows::boolean(std::size_t row, std::size_t column) const {
  const std::string_view raw = text(row, column);
  assert(raw.size() == 1);
  return raw.size() == 1 && raw.front() != '\0';
}

timestamp rows::time(std::size_t row, std::size_t column) const {
  const std::int64_t value = int8(row, column);
  // The server's -infinity and infinity are the ends of the integer (timestamp.h DT_NOBEGIN, DT_NOEND).
  if (value == std::numeric_limits<std::int64_t>::min()) return timestamp::min();
  if (value > std::numeric_limits<std::int64_t>::max() - postgres_epoch_us) return timestamp::max();
  return timestamp{std::chrono::microseconds{value + postgres_epoch_us}};
}

}  // namespace pam::db
