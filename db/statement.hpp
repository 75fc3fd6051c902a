#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pam::db {

/// PostgreSQL type OIDs of the parameters we send (pg_type.dat); stable across versions.
enum class pg_type : std::uint32_t {
  boolean = 16,
  bytea = 17,
  int8 = 20,
  int2 = 21,
  int4 = 23,
  text = 25,
  inet = 869,
  timestamptz = 1184,
  uuid = 2950,
  jsonb = 3802,
  text_array = 1009,
};

/// Whether a statement may share its implicit transaction with statements of other callers.
enum class batch : std::uint8_t {
  shared,  ///< a single-row conditional statement; travels with others under one Sync
  alone,   ///< multi-row writes, statements that may wait for a foreign lock, rare ones
};

/// Whether running the statement twice with the same parameters leaves the same database.
enum class repeat : std::uint8_t {
  safe,  ///< may be sent again after a lost connection, until the deadline
  once,  ///< must not be sent again when its outcome is unknown
};

/// Order in which rows of different tables are locked inside a batch. Lower ranks first.
enum class lock_rank : std::uint8_t { none = 0, session = 1, claim = 2, account = 3, other = 4 };

/// Name of a prepared statement: "pam_" and 64 bits of FNV-1a over the SQL text.
class statement_name {
 public:
  constexpr explicit statement_name(std::string_view sql) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (char c : sql) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    constexpr std::string_view digits = "0123456789abcdef";
    for (std::size_t i = 0; i < 16; ++i) text_[4 + i] = digits[(hash >> (60 - 4 * i)) & 0xF];
  }
  [[nodiscard]] constexpr const char* c_str() const { return text_.data(); }
  [[nodiscard]] constexpr std::string_view view() const { return {text_.data(), 20}; }

 private:
  std::array<char, 21> text_{'p', 'a', 'm', '_'};
};

inline constexpr std::size_t max_parameters = 24;

/// One SQL statement of the catalogue. Constant for the life of the program; compared by address.
struct statement {
  /// `conflict_key` is the zero-based index of the parameter that names the locked row (a session id,
  /// a claim value, an account id), or -1 for statements that lock nothing.
  struct options {
    pam::db::batch batch = batch::shared;
    pam::db::repeat repeat = repeat::safe;
    lock_rank rank = lock_rank::none;
    int conflict_key = -1;
    const char* summary = "";  ///< what it does in one word, for traces: a literal, equal in every release
  };

  template <std::size_t N>
  constexpr statement(const char* text, const std::array<pg_type, N>& types, options how)
      : sql(text), name(sql), parameter_count(N), opts(how) {
    static_assert(N <= max_parameters);
    for (std::size_t i = 0; i < N; ++i) parameter_types[i] = types[i];
  }
  statement(const statement&) = delete;
  statement& operator=(const statement&) = delete;

  std::string_view sql;  ///< NUL-terminated
  statement_name name;
  std::array<pg_type, max_parameters> parameter_types{};
  std::size_t parameter_count;
  options opts;
};

/// Parameter types of a statement: `db::types(pg_type::uuid, pg_type::bytea)`.
template <class... T>
constexpr std::array<pg_type, sizeof...(T)> types(T... type) {
  return {type...};
}

}  // namespace pam::db
