#include "server/auth/row_readers.hpp"

#include "server/auth/detail/sql_text.hpp"

namespace pam::auth {
namespace {

std::string read_text(const db::rows& from, std::size_t row, std::size_t column) {
  return from.is_null(row, column) ? std::string{} : std::string{from.text(row, column)};
}

std::optional<std::string> read_optional_text(const db::rows& from, std::size_t row, std::size_t column) {
  if (from.is_null(row, column)) return std::nullopt;
  return std::string{from.text(row, column)};
}

identity read_identity(const db::rows& from, std::size_t row) {
  constexpr std::size_t at = detail::account_columns;
  identity found;
  found.id = from.uuid(row, at);
  found.provider = read_text(from, row, at + 1);
  found.provider_id = read_text(from, row, at + 2);
  found.data = read_text(from, row, at + 3);
  found.email = read_text(from, row, at + 4);
  found.last_sign_in_at = read_time(from, row, at + 5);
  found.created_at = from.time(row, at + 6);
  found.updated_at = from.time(row, at + 7);
  return found;
}

}  // namespace

std::optional<timestamp> read_time(const db::rows& from, std::size_t row, std::size_t column) {
  if (from.is_null(row, column)) return std::nullopt;
  return from.time(row, column);
}

account read_account(const db::rows& from) {
  account found;
  found.id = from.uuid(0, 0);
  found.email = read_text(from, 0, 1);
  found.phone = read_text(from, 0, 2);
  found.role = read_text(from, 0, 3);
  found.aud = read_text(from, 0, 4);
  found.app_metadata = read_text(from, 0, 5);
  found.metadata = read_text(from, 0, 6);
  found.email_confirmed_at = read_time(from, 0, 7);
  found.phone_confirmed_at = read_time(from, 0, 8);
  found.last_sign_in_at = read_time(from, 0, 9);
  found.created_at = from.time(0, 10);
  found.updated_at = from.time(0, 11);
  found.banned_until = read_time(from, 0, 12);
  found.deleted_at = read_time(from, 0, 13);
  found.is_anonymous = from.boolean(0, 14);
  for (std::size_t row = 0; row < from.size(); ++row) {
    if (!from.is_null(row, detail::account_columns)) found.identities.push_back(read_identity(from, row));
  }
  return found;
}

session read_session(const db::rows& from, std::size_t row, std::size_t first) {
  session found;
  found.id = from.uuid(row, first);
  found.created_at = from.time(row, first + 1);
  found.refreshed_at = from.time(row, first + 2);
  found.expires_at = from.time(row, first + 3);
  found.absolute_expires_at = from.time(row, first + 4);
  found.aal = from.int2(row, first + 5);
  found.amr = read_text(from, row, first + 6);
  found.ip = read_optional_text(from, row, first + 7);
  found.user_agent = read_optional_text(from, row, first + 8);
  return found;
}

}  // namespace pam::auth
