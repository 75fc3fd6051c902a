#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <boost/uuid/uuid.hpp>

#include "db/params.hpp"

struct pg_result;

namespace pam::db {

/// The rows a statement returned. Owns libpq's result; views stay valid as long as the object lives.
/// Every result travels in binary format; an accessor reads the type its name says and asserts the
/// value's length. `text()` serves text, varchar and json; jsonb and inet must be cast to text in the
/// statement's column list (`metadata::text`).
class rows {
 public:
  rows() = default;
  explicit rows(pg_result* result) : rows(result, 0) {}
  rows(pg_result* result, std::uint64_t replayed);

  /// One caller's share of the rows that a statement `for_several` returned (statement.hpp), without the
  /// column that numbers the callers. The result lives as long as any share of it.
  [[nodiscard]] rows share_of(std::int64_t caller) const;

  [[nodiscard]] std::size_t size() const { return result_ ? count_ : 0; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// Rows affected by INSERT, UPDATE, DELETE (0 for others).
  [[nodiscard]] std::int64_t affected() const;

  [[nodiscard]] bool is_null(std::size_t row, std::size_t column) const;
  [[nodiscard]] boost::uuids::uuid uuid(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::span<const std::byte> bytes(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::string_view text(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::int16_t int2(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::int32_t int4(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::int64_t int8(std::size_t row, std::size_t column) const;
  [[nodiscard]] bool boolean(std::size_t row, std::size_t column) const;
  [[nodiscard]] timestamp time(std::size_t row, std::size_t column) const;

  /// What the standby that answered had replayed of the primary's log before it ran the statement; 0 from
  /// a primary.
  [[nodiscard]] std::uint64_t replayed() const { return replayed_; }

 private:
  std::shared_ptr<pg_result> result_;
  std::size_t first_ = 0;  ///< row of the result that is our first
  std::size_t count_ = 0;
  std::size_t first_column_ = 0;
  std::uint64_t replayed_ = 0;
};

}  // namespace pam::db
