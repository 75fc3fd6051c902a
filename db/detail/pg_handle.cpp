#include "db/detail/pg_handle.hpp"

#include <array>

#include <openssl/ssl.h>

namespace pam::db::detail {

namespace {

std::string_view field_of(const PGresult* result, int field) {
  const char* text = PQresultErrorField(result, field);
  return text == nullptr ? std::string_view{} : std::string_view{text};
}

std::string one_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::string line{text};
  for (char& c : line) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  return line;
}

void append_field(std::string& text, std::string_view label, std::string_view value) {
  if (value.empty()) return;
  text.append("; ").append(label).append(" ").append(value);
}

}  // namespace

std::string_view sqlstate_of(const PGresult* result) {
  return field_of(result, PG_DIAG_SQLSTATE);
}

error error_of(const PGresult* result) {
  error failure;
  failure.code = errc::rejected;
  failure.outcome = outcome::executed;
  failure.sqlstate = sqlstate_of(result);
  failure.constraint = field_of(result, PG_DIAG_CONSTRAINT_NAME);
  if (failure.is_class("22")) {
    failure.detail = "data exception " + failure.sqlstate;
  } else {
    failure.detail = one_line(field_of(result, PG_DIAG_MESSAGE_PRIMARY));
  }
  append_field(failure.detail, "table", field_of(result, PG_DIAG_TABLE_NAME));
  append_field(failure.detail, "column", field_of(result, PG_DIAG_COLUMN_NAME));
  append_field(failure.detail, "at character", field_of(result, PG_DIAG_STATEMENT_POSITION));
  append_field(failure.detail, "hint", field_of(result, PG_DIAG_MESSAGE_HINT));
  return failure;
}

error connection_error(const PGconn* connection, errc code, outcome what) {
  error failure;
  failure.code = code;
  failure.outcome = what;
  const char* text = connection == nullptr ? nullptr : PQerrorMessage(connection);
  failure.detail = text == nullptr || *text == '\0' ? "connection lost" : one_line(text);
  return failure;
}

bool ends_connection(const PGresult* result) {
  const std::string_view severity = field_of(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (!severity.empty()) return severity == "FATAL" || severity == "PANIC";
  // PgBouncer sends no unlocalised severity; libpq's own errors have no SQLSTATE at all.
  const std::string_view localised = field_of(result, PG_DIAG_SEVERITY);
  return localised == "FATAL" || localised == "PANIC" || sqlstate_of(result).empty();
}

bool is_refusal(std::string_view message) {
  constexpr std::array<std::string_view, 6> signs{"password authentication failed",
                                                  "no pg_hba.conf entry",
                                                  "does not exist",
                                                  "no such database",
                                                  "no such user",
                                                  "permission denied for database"};
  for (const std::string_view sign : signs) {
    if (message.find(sign) != std::string_view::npos) return true;
  }
  return false;
}

bool consume_input(PGconn* connection) {
  bool is_open = PQconsumeInput(connection) == 1;
  if (PQsslInUse(connection) == 0) return is_open;
  const auto* const tls = static_cast<const SSL*>(PQsslStruct(connection, "OpenSSL"));
  while (is_open && tls != nullptr && SSL_pending(tls) > 0) is_open = PQconsumeInput(connection) == 1;
  return is_open;
}

void silence_notices(PGconn* connection) {
  PQsetNoticeReceiver(connection, [](void*, const PGresult*) {}, nullptr);
}

}  // namespace pam::db::detail
