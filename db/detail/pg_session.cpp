#include "db/detail/pg_session.hpp"

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "async/tuple_await.hpp"
#include "db/detail/bound_values.hpp"

namespace pam::db::detail {

namespace asio = boost::asio;

namespace {

error unavailable(std::string detail) {
  error failure;
  failure.code = errc::unavailable;
  failure.outcome = outcome::not_sent;
  failure.detail = std::move(detail);
  return failure;
}

bool needs_resolving(const std::string& host) {
  if (host.empty() || host.starts_with('/')) return false;
  boost::system::error_code failure;
  asio::ip::make_address(host, failure);
  return failure.failed();
}

// getaddrinfo cannot be cancelled: whoever gives up leaves the lookup behind, and its late answer finds
// only this shared state.
struct lookup : stoppable {
  explicit lookup(asio::io_context& context) : resolver(context), done(context) {}
  void stop() override { done.cancel(); }
  asio::ip::tcp::resolver resolver;
  asio::steady_timer done;
  std::vector<std::string> addresses;
};

asio::awaitable<std::vector<std::string>> resolve(asio::io_context& context, stop_list& stops,
                                                  const std::string& host, async::deadline until) {
  auto state = std::make_shared<lookup>(context);
  state->done.expires_at(until);
  stops.add(state);
  auto on_answer = [state](const boost::system::error_code& failure,
                           const asio::ip::tcp::resolver::results_type& results) {
    if (!failure) {
      for (const auto& one : results) state->addresses.push_back(one.endpoint().address().to_string());
    }
    state->done.cancel();
  };
  state->resolver.async_resolve(host, "", std::move(on_answer));
  co_await state->done.async_wait(async::tuple_await);
  co_return state->addresses;
}

/// Keywords and values of one attempt. No `options` and nothing else a pooler would refuse.
struct connect_parameters {
  connect_parameters(const config& settings, const endpoint& where, const std::string& address,
                     const std::string& database)
      : port(std::to_string(where.port)) {
    const auto add = [this](const char* key, const char* value) {
      if (*value == '\0') return;
      keys[count] = key;
      values[count++] = value;
    };
    add("host", where.host.c_str());
    add("hostaddr", address.c_str());
    add("port", port.c_str());
    add("dbname", database.c_str());
    add("user", settings.user.c_str());
    add("password", settings.password.c_str());
    add("sslmode", settings.sslmode.c_str());
    add("sslrootcert", settings.sslrootcert.c_str());
    add("gssencmode", "disable");  // one round trip less; a ticket cache is a file read on the shard
    add("application_name", settings.application_name.c_str());
    add("client_encoding", "UTF8");
    add("keepalives_idle", "5");
    add("keepalives_interval", "3");
    add("keepalives_count", "3");
    add("tcp_user_timeout", "10000");
  }
  std::string port;
  std::size_t count = 0;
  std::array<const char*, 20> keys{};
  std::array<const char*, 20> values{};
};

}  // namespace

bool pg_session::is_usable() const {
  return connection_ && !is_broken_ && PQstatus(connection_.get()) == CONNECTION_OK;
}

bool pg_session::is_clean() {
  if (!is_usable()) return false;
  if (!consume_input(connection_.get()) || PQisBusy(connection_.get()) != 0) return false;
  return PQtransactionStatus(connection_.get()) == PQTRANS_IDLE;
}

void pg_session::close() {
  ++wait_number_;
  timer_.cancel();
  watch_.release();
  connection_.reset();
}

asio::awaitable<bool> pg_session::wait(direction what, async::deadline until) {
  if (!connection_) co_return false;
  const std::uint64_t number = ++wait_number_;
  auto on_timeout = [weak = weak_from_this(), number](const boost::system::error_code& failure) {
    const auto self = weak.lock();
    // The wait this timer belongs to may be over, and another under way.
    if (failure || !self || self->wait_number_ != number) return;
    self->watch_.get().cancel();
  };
  timer_.expires_at(until);
  timer_.async_wait(std::move(on_timeout));
  const auto kind =
      what == direction::read ? fd_watch::descriptor::wait_read : fd_watch::descriptor::wait_write;
  const auto self = shared_from_this();  // close() may come from elsewhere meanwhile
  const auto [failure] = co_await watch_.get().async_wait(kind, async::tuple_await);
  if (wait_number_ != number) co_return false;
  ++wait_number_;
  timer_.cancel();
  co_return !failure && connection_ != nullptr;
}

asio::awaitable<bool> pg_session::flush(async::deadline until) {
  while (connection_) {
    const int left = PQflush(connection_.get());
    if (left == 0) co_return true;
    if (left < 0) break;
    if (!co_await wait(direction::write, until)) break;
  }
  is_broken_ = true;
  co_return false;
}

asio::awaitable<pg_session::answer> pg_session::next(async::deadline until) {
  answer got;
  while (connection_ && PQisBusy(connection_.get()) != 0) {
    const bool is_ready = co_await wait(direction::read, until);
    // Input that came with the end of the stream is still worth parsing.
    if (!is_ready || (!consume_input(connection_.get()) && PQisBusy(connection_.get()) != 0)) {
      is_broken_ = true;
      co_return got;
    }
  }
  if (!connection_) co_return got;
  got.result.reset(PQgetResult(connection_.get()));
  got.is_alive = PQstatus(connection_.get()) == CONNECTION_OK;
  co_return got;
}

asio::awaitable<result<pg_result_ptr>> pg_session::read_one(async::deadline until) {
  pg_result_ptr first;
  const bool is_flushed = co_await flush(until);
  while (is_flushed) {
    answer got = co_await next(until);
    if (!got.is_alive) break;
    if (!got.result) {
      if (!first) break;
      co_return first;
    }
    const ExecStatusType status = PQresultStatus(got.result.get());
    if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) break;
    if (!first || status == PGRES_FATAL_ERROR) first = std::move(got.result);
  }
  is_broken_ = true;
  const bool is_late = async::has_passed(until);
  error failure =
      connection_error(connection_.get(), is_late ? errc::deadline : errc::connection, outcome::unknown);
  if (first && PQresultStatus(first.get()) == PGRES_FATAL_ERROR) failure.sqlstate = sqlstate_of(first.get());
  co_return failure;
}

asio::awaitable<result<pg_result_ptr>> pg_session::run(const statement& what, const params& values,
                                                       async::deadline until) {
  if (!is_usable()) co_return connection_error(get(), errc::connection, outcome::not_sent);
  const bound_values bound{what, values};
  if (PQsendQueryParams(get(), what.sql.data(), bound.count, bound.types.data(), bound.values.data(),
                        bound.lengths.data(), bound.formats.data(), 1) != 1) {
    is_broken_ = true;
    co_return connection_error(get(), errc::connection, outcome::unknown);
  }
  co_return co_await read_one(until);
}

asio::awaitable<result<pg_result_ptr>> pg_session::run_simple(const char* sql, async::deadline until) {
  if (!is_usable()) co_return connection_error(get(), errc::connection, outcome::not_sent);
  if (PQsendQuery(get(), sql) != 1) {
    is_broken_ = true;
    co_return connection_error(get(), errc::connection, outcome::unknown);
  }
  co_return co_await read_one(until);
}

// PQconnectPoll may close its socket and open another with the same number (next address, TLS refused):
// the descriptor is released before every poll and assigned again after it.
asio::awaitable<bool> pg_session::establish(async::deadline until) {
  PostgresPollingStatusType next_step = PGRES_POLLING_WRITING;
  while (next_step == PGRES_POLLING_WRITING || next_step == PGRES_POLLING_READING) {
    if (!watch_.assign(PQsocket(get()))) co_return false;
    const auto what = next_step == PGRES_POLLING_READING ? direction::read : direction::write;
    const bool is_ready = co_await wait(what, until);
    watch_.release();
    if (!is_ready) co_return false;
    next_step = PQconnectPoll(get());
  }
  if (next_step != PGRES_POLLING_OK || PQsetnonblocking(get(), 1) != 0) co_return false;
  silence_notices(get());
  co_return watch_.assign(PQsocket(get()));
}

asio::awaitable<result<std::shared_ptr<pg_session>>> connect_session(asio::io_context& context,
                                                                     stop_list& stops, const config& settings,
                                                                     const endpoint& where,
                                                                     const std::string& database,
                                                                     async::deadline until) {
  std::vector<std::string> addresses{std::string{}};  // none: libpq takes `host` as it stands
  if (needs_resolving(where.host)) {
    addresses = co_await resolve(context, stops, where.host, until);
    if (addresses.empty()) co_return unavailable("cannot resolve " + where.host);
  }
  error last = unavailable("no address");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (stops.is_stopped()) co_return unavailable("closing");
    auto session = std::make_shared<pg_session>(context);
    stops.add(session);
    const connect_parameters with{settings, where, addresses[i], database};
    session->connection_.reset(PQconnectStartParams(with.keys.data(), with.values.data(), 0));
    if (session->get() == nullptr) co_return unavailable("out of memory");
    if (PQstatus(session->get()) == CONNECTION_BAD) {
      last = connection_error(session->get(), errc::unavailable, outcome::not_sent);
      continue;
    }
    // An address that swallows packets must not use up the time of those behind it.
    const auto now = std::chrono::steady_clock::now();
    const auto share = (until - now) / static_cast<std::chrono::steady_clock::rep>(addresses.size() - i);
    const bool is_open = co_await session->establish(now + share);
    if (is_open) co_return session;
    last = connection_error(session->get(), errc::unavailable, outcome::not_sent);
    if (async::has_passed(now + share)) last.detail = "timed out connecting to " + where.host;
  }
  co_return last;
}

}  // namespace pam::db::detail
