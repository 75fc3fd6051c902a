#include "server/cli/migration_ledger.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "server/cli/migration_directives.hpp"

namespace pam::cli {

namespace {

migration_error refuse(migration_errc code, std::string sentence) {
  return {code, std::move(sentence)};
}

/// Numbers must count from 1 without a gap, in the binary as in the folder it was built from.
migration_result<void> check_numbering(std::span<const migrations::migration> known) {
  for (std::size_t i = 0; i < known.size(); ++i) {
    const int expected = static_cast<int>(i) + 1;
    if (known[i].version == expected) continue;
    return refuse(migration_errc::gap, "This binary has no migration " + std::to_string(expected) +
                                           " although it has " + std::to_string(known[i].version) +
                                           ": it was built from an incomplete folder.");
  }
  return {};
}

migration_result<void> check_row(const migrations::migration& what, const ledger_row& row, bool is_last) {
  if (row.name != what.name) {
    return refuse(migration_errc::renamed, "Migration " + std::to_string(row.version) + " is called \"" +
                                               row.name + "\" in the database and \"" +
                                               std::string{what.name} + "\" here: keep the old name.");
  }
  if (row.state != ledger_state::applied) {
    const auto directives = parse_directives(what.up, display_name(what) + ".up.sql");
    if (directives.has_error()) return directives.error();
    if (is_last && !directives->is_transactional) return {};
    return refuse(migration_errc::unfinished,
                  "Migration " + display_name(what) + " is " + std::string{to_string(row.state)} +
                      " in the database and cannot be resumed: look at what it left, then correct its row in "
                      "schema_migrations.");
  }
  for (const auto& [text, digest, kind] :
       {std::tuple{what.up, std::string_view{row.up_sha256}, "up"},
        std::tuple{what.down, std::string_view{row.down_sha256}, "down"}}) {
    if (sha256_hex(text) == digest) continue;
    return refuse(migration_errc::edited, "The file " + display_name(what) + "." + kind +
                                              ".sql was edited after it was applied (" + row.applied_at +
                                              "): restore it and put the change into a new migration.");
  }
  return {};
}

}  // namespace

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, 32> digest{};
  unsigned int size = 0;
  // Fails only when memory is exhausted or the library has no SHA-256; an all-zero digest then matches
  // nothing.
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * digest.size());
  for (const unsigned char byte : digest) {
    hex.push_back(digits[byte >> 4]);
    hex.push_back(digits[byte & 0xF]);
  }
  return hex;
}

std::string display_name(int version, std::string_view name) {
  std::string number = std::to_string(version);
  if (number.size() < 4) number.insert(0, 4 - number.size(), '0');
  return number + "_" + std::string{name};
}

std::string_view to_string(ledger_state state) {
  switch (state) {
    case ledger_state::applied:
      return "applied";
    case ledger_state::running:
      return "running";
    case ledger_state::failed:
      return "failed";
  }
  return "unknown";
}

migration_result<migration_plan> judge(std::span<const migrations::migration> known,
                                       std::span<const ledger_row> ledger) {
  const auto numbering = check_numbering(known);
  if (numbering.has_error()) return numbering.error();

  std::vector<ledger_row> rows{ledger.begin(), ledger.end()};
  std::ranges::sort(rows, {}, &ledger_row::version);
  const int newest = known.empty() ? 0 : known.back().version;
  if (!rows.empty() && rows.back().version > newest) {
    return refuse(migration_errc::newer, "The database is at migration " +
                                             std::to_string(rows.back().version) + " (" + rows.back().name +
                                             "), this binary knows only up to " + std::to_string(newest) +
                                             ": use the newer binary.");
  }

  migration_plan plan;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const int expected = static_cast<int>(i) + 1;
    if (rows[i].version != expected) {
      return refuse(migration_errc::out_of_order,
                    "Migration " + std::to_string(expected) + " was never applied although " +
                        std::to_string(rows[i].version) + " was: the order of the history is broken.");
    }
    const auto row = check_row(known[i], rows[i], i + 1 == rows.size());
    if (row.has_error()) return row.error();
    if (rows[i].state != ledger_state::applied) {
      plan.is_resuming = true;
      break;
    }
    plan.current = expected;
    plan.first = i + 1;
  }
  return plan;
}

}  // namespace pam::cli
