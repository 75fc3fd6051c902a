#include "load-tests/swarm/seed.hpp"

#include <libpq-fe.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

#include "server/crypto/password_hash.hpp"

namespace pam::load {
namespace {

struct finish_connection {
  void operator()(PGconn* of) const { PQfinish(of); }
};
using connection = std::unique_ptr<PGconn, finish_connection>;
struct clear_result {
  void operator()(PGresult* of) const { PQclear(of); }
};
using pg_result = std::unique_ptr<PGresult, clear_result>;

[[noreturn]] void fail(PGconn* of, std::string_view what) {
  throw std::runtime_error(fmt::format("{}: {}", what, PQerrorMessage(of)));
}

void run(PGconn* on, const std::string& sql) {
  const pg_result done{PQexec(on, sql.c_str())};
  const ExecStatusType status = PQresultStatus(done.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) fail(on, sql);
}

/// A bar on a terminal, a line each tenth elsewhere.
class progress {
 public:
  progress(std::string_view what, std::uint32_t of) : what_(what), of_(of), is_terminal_(::isatty(2) == 1) {}
  void at(std::uint32_t done) {
    const std::uint32_t steps = is_terminal_ ? 50 : 10;
    const std::uint32_t step =
        of_ == 0 ? steps : static_cast<std::uint32_t>(std::uint64_t{done} * steps / of_);
    if (step == step_) return;
    step_ = step;
    if (is_terminal_) {
      std::fputs(fmt::format("\r{:<11}[{:<50}] {}", what_, std::string(step, '#'), done).c_str(), stderr);
      if (done == of_) std::fputc('\n', stderr);
    } else {
      std::fputs(fmt::format("{}: {} of {}\n", what_, done, of_).c_str(), stderr);
    }
  }

 private:
  std::string_view what_;
  std::uint32_t of_;
  std::uint32_t step_ = 0;
  bool is_terminal_;
};

void copy(PGconn* on, std::string_view table, std::string_view columns, std::uint32_t count,
          const std::function<std::string(std::uint32_t)>& line_of) {
  const std::string sql = fmt::format("COPY {} ({}) FROM STDIN", table, columns);
  const pg_result begun{PQexec(on, sql.c_str())};
  if (PQresultStatus(begun.get()) != PGRES_COPY_IN) fail(on, sql);
  progress bar(table, count);
  std::string buffer;
  for (std::uint32_t i = 0; i < count; ++i) {
    buffer += line_of(i);
    if (buffer.size() < 64 * 1024 && i + 1 < count) continue;
    if (PQputCopyData(on, buffer.data(), static_cast<int>(buffer.size())) != 1) fail(on, table);
    buffer.clear();
    bar.at(i + 1);
  }
  if (PQputCopyEnd(on, nullptr) != 1) fail(on, table);
  const pg_result done{PQgetResult(on)};
  if (PQresultStatus(done.get()) != PGRES_COMMAND_OK) fail(on, table);
}

std::string shared_hash() {
  auto made = crypto::hash_password(crypto::secret{population::password}, crypto::hash_cost{});
  if (made.has_error()) throw std::runtime_error("cannot hash: " + made.error().detail);
  return std::move(*made);
}

}  // namespace

void seed(const population& people, std::uint32_t count, const std::string& conninfo) {
  const connection link{PQconnectdb(conninfo.c_str())};
  if (PQstatus(link.get()) != CONNECTION_OK) fail(link.get(), "connecting");
  PGconn* const on = link.get();
  const std::string hash = shared_hash();
  // Text format of COPY: no value here holds a tab, a newline or a backslash but bytea's own.
  copy(on, "accounts",
       "id, email, hashed_password, metadata, app_metadata, email_confirmed_at, last_sign_in_at", count,
       [&](std::uint32_t i) {
         const seat who = people.at(i);
         return fmt::format(
             "{}\t{}\t{}\t{}\t{{\"provider\":\"email\",\"providers\":[\"email\"]}}\tnow\tnow\n",
             to_text(who.account), who.email, hash, user_metadata_of(who));
       });
  copy(on, "claims", "kind, value, account_id, claimed_at", count, [&](std::uint32_t i) {
    const seat who = people.at(i);
    return fmt::format("email\t{}\t{}\tnow\n", who.email, to_text(who.account));
  });
  copy(on, "identities", "account_id, id, provider, provider_id, identity_data, email, last_sign_in_at",
       count, [&](std::uint32_t i) {
         const seat who = people.at(i);
         const std::string account = to_text(who.account);
         return fmt::format("{}\t{}\temail\t{}\t{}\t{}\tnow\n", account, to_text(who.identity), account,
                            user_metadata_of(who), who.email);
       });
  copy(on, "sessions",
       "id, account_id, refresh_token, expires_at, absolute_expires_at, created_at, refreshed_at, amr, ip, "
       "user_agent",
       count, [&](std::uint32_t i) {
         const seat who = people.at(i);
         const auto token = crypto::hash_of(people.first_token(who));
         // Everybody signed in long enough ago for nothing to expire during the run.
         return fmt::format(
             "{}\t{}\t\\\\x{}\t{}\t{}\tnow\tnow\t[{{\"method\":\"password\",\"timestamp\":1}}]\t127.0.0."
             "1\tswarm\n",
             to_text(who.session), to_text(who.account), to_hex(token.data(), token.size()), "2100-01-01Z",
             "2100-01-01Z");
       });
  run(on, "ANALYZE accounts, claims, identities, sessions");
}

}  // namespace pam::load
