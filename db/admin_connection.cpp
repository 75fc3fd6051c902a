#include "db/admin_connection.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <libpq-fe.h>

#include "db/detail/pg_handle.hpp"

namespace pam::db {

namespace {

using detail::pg_result_ptr;

std::string whole_seconds(std::chrono::milliseconds time) {
  return std::to_string(std::max<std::int64_t>(2, (time.count() + 999) / 1000));
}

// An error of a result, or of the connection when that is gone.
error failure_of(const PGconn* connection, const PGresult* result) {
  // The server announces the end of a connection before it closes it.
  if (result == nullptr || PQstatus(connection) != CONNECTION_OK || detail::ends_connection(result)) {
    error lost = detail::connection_error(connection, errc::connection, outcome::unknown);
    if (result != nullptr) lost.sqlstate = detail::sqlstate_of(result);
    return lost;
  }
  return detail::error_of(result);
}

bool is_success(const PGresult* result) {
  switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
      return true;
    default:
      return false;
  }
}

bool starts_copy(const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

error copy_is_refused() {
  error failure;
  failure.code = errc::protocol;
  failure.outcome = outcome::unknown;
  failure.detail = "COPY to or from the client is not supported; the connection was closed";
  return failure;
}

text_rows rows_of(const PGresult* result) {
  text_rows table;
  const int columns = PQnfields(result);
  const int count = PQntuples(result);
  for (int c = 0; c < columns; ++c) table.columns.emplace_back(PQfname(result, c));
  table.values.reserve(static_cast<std::size_t>(count));
  for (int r = 0; r < count; ++r) {
    text_row& row = table.values.emplace_back(static_cast<std::size_t>(columns));
    for (int c = 0; c < columns; ++c) {
      if (PQgetisnull(result, r, c) != 0) continue;
      row[static_cast<std::size_t>(c)].emplace(PQgetvalue(result, r, c),
                                               static_cast<std::size_t>(PQgetlength(result, r, c)));
    }
  }
  if (PQresultStatus(result) == PGRES_COMMAND_OK) {
    const std::string_view text{PQcmdTuples(const_cast<PGresult*>(result))};
    std::from_chars(text.data(), text.data() + text.size(), table.affected);
  }
  return table;
}

}  // namespace

void admin_connection::finish::operator()(pg_conn* connection) const noexcept {
  PQfinish(connection);
}

admin_connection::admin_connection(pg_conn* connection) : connection_(connection) {}
admin_connection::admin_connection(admin_connection&&) noexcept = default;
admin_connection& admin_connection::operator=(admin_connection&&) noexcept = default;
admin_connection::~admin_connection() = default;

result<admin_connection> admin_connection::connect(const admin_settings& settings) {
  const std::string port = std::to_string(settings.port);
  const std::string timeout = whole_seconds(settings.connect_timeout);
  const std::array keys{"host",
                        "port",
                        "dbname",
                        "user",
                        "password",
                        "sslmode",
                        "sslrootcert",
                        "application_name",
                        "connect_timeout",
                        "client_encoding",
                        static_cast<const char*>(nullptr)};
  // libpq takes an empty value for an absent one.
  const std::array values{settings.host.c_str(),
                          port.c_str(),
                          settings.database.c_str(),
                          settings.user.c_str(),
                          settings.password.c_str(),
                          settings.sslmode.c_str(),
                          settings.sslrootcert.c_str(),
                          settings.application_name.c_str(),
                          timeout.c_str(),
                          "UTF8",
                          static_cast<const char*>(nullptr)};
  admin_connection opened{PQconnectdbParams(keys.data(), values.data(), 0)};
  if (PQstatus(opened.connection_.get()) != CONNECTION_OK) {
    return detail::connection_error(opened.connection_.get(), errc::unavailable, outcome::not_sent);
  }
  detail::silence_notices(opened.connection_.get());
  return opened;
}

result<void> admin_connection::run(const std::string& script) {
  const result<text_rows> done = command(script);
  if (done.has_error()) return done.error();
  return {};
}

result<text_rows> admin_connection::command(const std::string& text) {
  if (!is_open()) return detail::connection_error(connection_.get(), errc::connection, outcome::not_sent);
  if (PQsendQuery(connection_.get(), text.c_str()) != 1) {
    return detail::connection_error(connection_.get(), errc::connection, outcome::unknown);
  }
  // Everything is read even after an error, so that the connection can be used again.
  std::optional<error> first;
  text_rows last;
  while (pg_result_ptr answer{PQgetResult(connection_.get())}) {
    if (starts_copy(answer.get())) {
      connection_.reset();  // its data would have to be read or written to get any further
      return copy_is_refused();
    }
    if (is_success(answer.get())) {
      last = rows_of(answer.get());
    } else if (!first) {
      first = failure_of(connection_.get(), answer.get());
    }
  }
  if (first) return *std::move(first);
  if (!is_open()) return detail::connection_error(connection_.get(), errc::connection, outcome::unknown);
  return last;
}

result<text_rows> admin_connection::query(const std::string& sql, std::span<const text_value> parameters) {
  if (!is_open()) return detail::connection_error(connection_.get(), errc::connection, outcome::not_sent);
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const text_value& value : parameters) values.push_back(value ? value->c_str() : nullptr);
  const pg_result_ptr answer{PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()),
                                          nullptr, values.data(), nullptr, nullptr, 0)};
  if (answer && starts_copy(answer.get())) {
    connection_.reset();
    return copy_is_refused();
  }
  if (!answer || !is_success(answer.get())) return failure_of(connection_.get(), answer.get());
  return rows_of(answer.get());
}

bool admin_connection::is_open() const {
  return connection_ && PQstatus(connection_.get()) == CONNECTION_OK;
}

bool admin_connection::is_in_transaction() const {
  if (!is_open()) return false;
  const PGTransactionStatusType status = PQtransactionStatus(connection_.get());
  return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

int admin_connection::server_version() const {
  return connection_ ? PQserverVersion(connection_.get()) : 0;
}

bool admin_connection::is_encrypted() const {
  return connection_ && PQsslInUse(connection_.get()) == 1;
}

int admin_connection::backend_pid() const {
  return connection_ ? PQbackendPID(connection_.get()) : 0;
}

std::string quote_identifier(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted.push_back('"');
    quoted.push_back(c);
  }
  return quoted + '"';
}

std::string quote_literal(std::string_view text) {
  const bool has_backslash = text.find('\\') != std::string_view::npos;
  std::string quoted = has_backslash ? " E'" : "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted.push_back(c);
    quoted.push_back(c);
  }
  return quoted + '\'';
}

}  // namespace pam::db
