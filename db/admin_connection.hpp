#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "db/result.hpp"

struct pg_conn;

namespace pam::db {

/// Where an operator's tool connects to: PostgreSQL itself, never a pooler in transaction mode.
struct admin_settings {
  std::string host = "localhost";  ///< name, address or absolute directory of a Unix socket
  std::uint16_t port = 5432;
  std::string database;
  std::string user;
  std::string password;  ///< empty: peer, trust or passfile
  std::string sslmode = "prefer";
  std::string sslrootcert;
  std::string application_name = "pam-auth-admin";
  std::chrono::milliseconds connect_timeout{5000};  ///< rounded up to whole seconds, at least 2 (libpq)
};

/// One value in text form; nothing for NULL.
using text_value = std::optional<std::string>;
using text_row = std::vector<text_value>;

/// What a query returned, every value in PostgreSQL's text form.
struct text_rows {
  std::vector<std::string> columns;
  std::vector<text_row> values;
  std::int64_t affected = 0;  ///< rows of INSERT, UPDATE, DELETE

  [[nodiscard]] std::size_t size() const { return values.size(); }
  [[nodiscard]] bool empty() const { return values.empty(); }
};

/// A small blocking connection for migrations, provisioning and tests.
///
/// Never used on a shard. Statements have no deadline of their own: set `statement_timeout` and
/// `lock_timeout` with `run()`. Errors carry the SQLSTATE; a lost connection is `errc::connection` with
/// `outcome::unknown`, after which the object is of no more use. Not thread-safe; one thread at a time.
class admin_connection {
 public:
  /// Connects. Errors: `unavailable` (nobody answers, or the server refuses; see `detail`), `not_sent`.
  static result<admin_connection> connect(const admin_settings& settings);

  admin_connection(admin_connection&&) noexcept;
  admin_connection& operator=(admin_connection&&) noexcept;
  admin_connection(const admin_connection&) = delete;
  admin_connection& operator=(const admin_connection&) = delete;
  ~admin_connection();

  /// Runs a script of one or more statements separated by semicolons, by the simple protocol: without
  /// BEGIN the whole script is one implicit transaction (PostgreSQL, "Multiple Statements in a Simple
  /// Query"), so VACUUM, CREATE DATABASE or CREATE INDEX CONCURRENTLY must stand alone.
  /// An error is the first failing statement's, with its character position in `detail`.
  result<void> run(const std::string& script);

  /// Runs one statement with parameters `$1...` in text form and returns its rows.
  result<text_rows> query(const std::string& sql, std::span<const text_value> parameters = {});
  result<text_rows> query(const std::string& sql, std::initializer_list<text_value> parameters) {
    return query(sql, std::span<const text_value>{parameters.begin(), parameters.size()});
  }

  /// Runs one command by the simple protocol and returns its rows, for consoles that know no other
  /// (PgBouncer's). Of several commands the last one's rows are returned.
  result<text_rows> command(const std::string& text);

  /// False once the connection was lost.
  [[nodiscard]] bool is_open() const;
  /// True inside a transaction block, failed ones included.
  [[nodiscard]] bool is_in_transaction() const;
  /// As PQserverVersion: 150018.
  [[nodiscard]] int server_version() const;
  /// True when the connection is encrypted by TLS, as far as the next machine.
  [[nodiscard]] bool is_encrypted() const;
  /// Process id of the server's backend; meaningless through a pooler.
  [[nodiscard]] int backend_pid() const;

 private:
  struct finish {
    void operator()(pg_conn* connection) const noexcept;
  };
  explicit admin_connection(pg_conn* connection);
  std::unique_ptr<pg_conn, finish> connection_;
};

/// `name` quoted as an SQL identifier, for the statements that take no parameters.
[[nodiscard]] std::string quote_identifier(std::string_view name);
/// `text` quoted as an SQL string literal that is read alike whatever `standard_conforming_strings` is.
[[nodiscard]] std::string quote_literal(std::string_view text);

}  // namespace pam::db
