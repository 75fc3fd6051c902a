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
  bytea_array = 1001,
  int4_array = 1007,
  text_array = 1009,
  int8_array = 1016,
  timestamptz_array = 1185,
  uuid_array = 2951,
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

struct statement;

/// One SQL statement of the catalogue. Constant for the life of the program; compared by address.
struct statement {
  /// `conflict_key` is the zero-based index of the parameter that names the locked row (a session id,
  /// a claim value, an account id), or -1 for statements that lock nothing.
  struct options {
    pam::db::batch batch = batch::shared;
    pam::db::repeat repeat = repeat::safe;
    lock_rank rank = lock_rank::none;
    int conflict_key = -1;
    /// Goes before all that is queued: for a rare `batch::shared` read whose answer many callers wait for.
    bool is_urgent = false;
    const char* summary = "";  ///< what it does in one word, for traces: a literal, equal in every release
    /// The same statement for several callers at once: calls of a batch that stand next to each other then
    /// travel as one. Null: each travels for itself. Only for a `batch::shared` whose parameters are added in
    /// binary and never NULL. It takes an array for each parameter, an element a caller, and returns the rows
    /// of each behind a first column (int8) that numbers the callers from 1, in their order. That of a read
    /// is made by `for_several`; that of a write, which has a rank and a key, is written by hand:
    ///
    ///     WITH done AS (UPDATE t SET x = k.p2 FROM (SELECT * FROM unnest((SELECT $1), (SELECT $2))
    ///       WITH ORDINALITY AS k(p1, p2, n) LIMIT (SELECT cardinality($1))) k
    ///       WHERE t.id = ANY (ARRAY[k.p1]) RETURNING k.n, t.x) SELECT * FROM done ORDER BY n
    ///
    /// It must lock its rows in the order of the callers, who are sorted by key and have a key each: a nested
    /// loop with the keys outside, on a table of any size. Hence no equality that could be hashed, and a
    /// LIMIT the planner does not know, by which it expects one key.
    const statement* together = nullptr;
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

/// The text that `for_several` makes, in storage of its own.
template <std::size_t Capacity>
struct several_text {
  char text[Capacity]{};
  [[nodiscard]] constexpr const char* c_str() const { return text; }
};

/// The text of a read that answers several callers of `sql`: it takes an array for each parameter of `sql`,
/// one element a caller, and returns the rows of each behind a first column that numbers the callers from 1,
/// in their order. `statement::options::together` of the single form points to a statement with this text.
///
/// @param sql  no comment and no semicolon at its end, and no `$` but those of its parameters
///
/// LATERAL with OFFSET 0 keeps the single form's own plan, once a caller. The arrays hide in sub-selects from
/// the planner: with their real lengths a plan for each call looks cheaper than one for all, and the
/// statement would be planned each time (plancache.c, choose_custom_plan).
template <std::size_t N>
constexpr auto for_several(const char (&sql)[N], std::size_t parameters) {
  several_text<2 * N + 32 * max_parameters + 128> made;
  std::size_t at = 0;
  const auto append = [&](std::string_view text) {
    for (const char each : text) made.text[at++] = each;
  };
  const auto append_number = [&](std::size_t number) {
    if (number >= 10) made.text[at++] = static_cast<char>('0' + number / 10);
    made.text[at++] = static_cast<char>('0' + number % 10);
  };
  append("SELECT k.n, r.* FROM unnest(");
  for (std::size_t i = 1; i <= parameters; ++i) {
    append(i == 1 ? "(SELECT $" : ", (SELECT $");
    append_number(i);
    append(")");
  }
  append(") WITH ORDINALITY AS k(");
  for (std::size_t i = 1; i <= parameters; ++i) {
    append("p");
    append_number(i);
    append(", ");
  }
  append("n) CROSS JOIN LATERAL (");
  for (std::size_t i = 0; i + 1 < N; ++i) {
    append(sql[i] == '$' ? std::string_view{"k.p"} : std::string_view{&sql[i], 1});
  }
  append(" OFFSET 0) r ORDER BY k.n");
  return made;
}

}  // namespace pam::db
