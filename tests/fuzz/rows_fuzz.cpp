// Properties: whatever the server put into a row, no accessor reads beyond the value, and the one that fits
// the value's length reads it. Built without assertions, which call a wrong accessor the bug it is.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <libpq-fe.h>

#include "db/rows.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;

namespace {

constexpr std::size_t columns = 3;

/// A result as libpq builds one: each value a length byte (255: NULL) and so many bytes.
PGresult* result_of(const std::uint8_t* data, std::size_t size, std::vector<std::string>& values) {
  PGresult* result = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::array<std::string, columns> names{"a", "b", "c"};
  std::array<PGresAttDesc, columns> described{};
  for (std::size_t i = 0; i < columns; ++i) {
    described[i].name = names[i].data();
    described[i].format = 1;
  }
  require(PQsetResultAttrs(result, columns, described.data()) != 0);
  for (std::size_t at = 0; at < size && values.size() < 64;) {
    const std::size_t length = data[at++];
    const bool is_null = length == 255;
    const std::size_t taken = is_null ? 0 : std::min(length, size - at);
    values.emplace_back(reinterpret_cast<const char*>(data) + at, taken);
    at += taken;
    const auto cell = static_cast<int>(values.size() - 1);
    require(PQsetvalue(result, cell / static_cast<int>(columns), cell % static_cast<int>(columns),
                       is_null ? nullptr : values.back().data(),
                       is_null ? -1 : static_cast<int>(taken)) != 0);
  }
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> values;
  const pam::db::rows rows{result_of(data, size, values)};
  require(rows.size() == (values.size() + columns - 1) / columns);
  for (std::size_t cell = 0; cell < values.size(); ++cell) {
    const std::size_t row = cell / columns;
    const std::size_t column = cell % columns;
    const std::string& value = values[cell];
    require(rows.text(row, column) == value);
    require(rows.bytes(row, column).size() == value.size());
    require(value.size() == 2 || rows.int2(row, column) == 0);
    require(value.size() == 4 || rows.int4(row, column) == 0);
    require(value.size() == 8 || rows.int8(row, column) == 0);
    require(value.size() == 16 || rows.uuid(row, column).is_nil());
    require(value.size() == 1 || !rows.boolean(row, column));
    static_cast<void>(rows.time(row, column));
  }
  return 0;
}
