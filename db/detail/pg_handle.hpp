#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <libpq-fe.h>

#include "db/error.hpp"

namespace pam::db::detail {

struct finish_connection {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
struct clear_result {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};

/// Owner of a libpq connection. An Asio descriptor of its socket must be released first (fd_watch).
using pg_connection = std::unique_ptr<PGconn, finish_connection>;
using pg_result_ptr = std::unique_ptr<PGresult, clear_result>;

/// The error a result carries, `rejected` and `executed`. The message is left out where PostgreSQL
/// quotes values in it (class 22), the DETAIL line always ("Key (email)=(...) already exists").
[[nodiscard]] error error_of(const PGresult* result);

/// The error of a broken connection: libpq's own words, on one line.
[[nodiscard]] error connection_error(const PGconn* connection, errc code, outcome what);

/// True when the server ends the connection with this error (severity FATAL or PANIC).
[[nodiscard]] bool ends_connection(const PGresult* result);

/// The SQLSTATE of a result, empty when the server gave none.
[[nodiscard]] std::string_view sqlstate_of(const PGresult* result);

/// The SQLSTATE inside libpq's report of a refused connection is not kept apart by libpq: true when the
/// failure is the server's final word on our settings (password, database, role), so that asking ten
/// times a second would be noise.
[[nodiscard]] bool is_refusal(std::string_view message);

/// PQconsumeInput, and what OpenSSL keeps besides: bytes of a record that libpq's buffer had no room for
/// do not make the socket readable again. False when the connection broke.
[[nodiscard]] bool consume_input(PGconn* connection);

/// Makes a connection deaf to NOTICE messages: libpq prints them to stderr otherwise.
void silence_notices(PGconn* connection);

}  // namespace pam::db::detail
