#include "server/runtime/shard.hpp"

#include <pthread.h>

#include <algorithm>
#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "async/tuple_await.hpp"
#include "migrations/migration.hpp"

namespace pam::runtime {
namespace {

// How long a shard waits for its first database connection before it accepts without one.
constexpr std::chrono::seconds first_connection_wait{5};

std::string reason_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& what) {
    return what.what();
  } catch (...) {
    return "an exception of an unknown type";
  }
}

auth::session_policy session_policy_of(const configuration& settings) {
  auth::session_policy policy;
  policy.idle_lifetime = settings.tokens.idle_lifetime;
  policy.absolute_lifetime = settings.tokens.absolute_lifetime;
  policy.reuse_interval = settings.tokens.reuse_interval;
  policy.lost_response_window = settings.tokens.lost_response_window;
  return policy;
}

auth::account_policy account_policy_of(const configuration& settings) {
  auth::account_policy policy;
  policy.is_signup_enabled = settings.accounts.signup_enabled && settings.accounts.email_enabled;
  policy.must_confirm_current_password = settings.password.require_current;
  policy.role = settings.tokens.role;
  policy.audience = settings.tokens.audience;
  policy.password.min_length = settings.password.min_length;
  return policy;
}

auth::access_token_policy token_policy_of(const configuration& settings) {
  auth::access_token_policy policy;
  policy.issuer = settings.server.site_url + settings.server.prefix;
  policy.audience = settings.tokens.audience;
  policy.lifetime = settings.tokens.access_lifetime;
  return policy;
}

db::config database_config_of(const shared_parts& parts) {
  db::config how = parts.settings.database;
  how.turns = &parts.turns;
  how.watch = &parts.replicas;
  return how;
}

/// A shard's share of what the process grants an address. A burst of `burst_seconds`' worth, at least one.
auth::rate rate_of(std::uint32_t per_minute, std::uint32_t burst_seconds, std::size_t shards) {
  if (per_minute == 0) return {};
  const std::uint64_t burst = std::uint64_t{per_minute} * burst_seconds / 60 / shards;
  const std::uint64_t interval = 60'000'000 * std::uint64_t{shards} / per_minute;
  return {static_cast<std::uint32_t>(std::max<std::uint64_t>(burst, 1)),
          std::chrono::microseconds{std::max<std::uint64_t>(interval, 1)}};
}

api::settings api_settings_of(const configuration& settings) {
  api::settings how;
  how.prefix = settings.server.prefix;
  how.site_url = settings.server.site_url;
  how.cors_origins = settings.server.cors_origins;
  how.features.email = settings.accounts.email_enabled;
  how.features.disable_signup = !settings.accounts.signup_enabled;
  how.features.mailer_autoconfirm = settings.accounts.auto_confirm;
  const std::size_t shards = effective_shards(settings);
  how.address_rates = {auth::rate{}, rate_of(settings.rate_limits.read_per_minute, 10, shards),
                       rate_of(settings.rate_limits.write_per_minute, 10, shards),
                       rate_of(settings.rate_limits.hash_per_minute, 60, shards)};
  how.unlimited_networks = settings.rate_limits.unlimited;
  how.oauth_clients = settings.oauth.clients;
  how.admin_roles = settings.tokens.admin_roles;
  how.admin_may_be_unbounded = settings.admin.allow_unbounded;
  how.verified_tokens = 3 * settings.limits.connections;
  // Free routes cost next to nothing; the connection limit bounds them.
  how.in_flight_limits = {settings.limits.connections, settings.admission.read, settings.admission.write,
                          settings.admission.hash};
  how.bearable_wait = settings.admission.bearable_wait;
  // As many again wait for their turn, so that no connection to a database is ever idle.
  const db::config& database = settings.database;
  how.busy_database =
      2 * (database.pipelines + database.replicas.size()) * database.batches_in_flight * database.batch_limit;
  return how;
}

}  // namespace

shard::shard(const shared_parts& parts, std::size_t index, const net::tls_context* tls)
    : context_(1),
      work_(boost::asio::make_work_guard(context_)),
      log_(parts.log),
      index_(index),
      requests_(parts.log, parts.observed),
      database_(context_, database_config_of(parts), parts.catalogue),
      tokens_(parts.keys, token_policy_of(parts.settings)),
      accounts_(database_, parts.hashes, parts.keys, account_policy_of(parts.settings),
                session_policy_of(parts.settings), parts.breaches),
      sessions_(database_, parts.keys, session_policy_of(parts.settings)),
      application_(api_settings_of(parts.settings), accounts_, sessions_, tokens_, requests_),
      http_(context_, parts.settings.listen, parts.settings.limits, tls, application_) {
  // One shard is enough: heartbeats are the process's, partitions the database's.
  if (index_ == 0)
    upkeep_ =
        std::make_unique<runtime::upkeep>(context_, database_, log_, std::string{migrations::build_version()},
                                          migrations::embedded_migrations().back().version);
}

shard::~shard() {
  join();
}

boost::system::result<void, net::listen_error> shard::listen() {
  return http_.listen();
}

boost::system::result<void, net::listen_error> shard::adopt(net::unique_fd listening) {
  return http_.adopt(std::move(listening));
}

void shard::run(events to, bool needs_database) {
  events_ = std::move(to);
  boost::asio::co_spawn(context_, start(needs_database), [this](const std::exception_ptr& failure) {
    if (failure) events_.failed(reason_of(failure));
  });
  thread_ = std::thread{[this] {
    pthread_setname_np(pthread_self(), ("shard-" + std::to_string(index_)).c_str());
    context_.run();
  }};
}

boost::asio::awaitable<void> shard::start(bool needs_database) {
  auto connected = co_await database_.start(async::within(first_connection_wait));
  std::optional<db::error> missing;
  if (connected.has_error()) missing = connected.error();
  if (missing && missing->code == db::errc::closed) co_return;  // asked to stop before it began
  if (missing && needs_database) {
    events_.failed("no database: " + missing->detail);
    co_return;
  }
  http_.start();
  if (upkeep_) upkeep_->start();
  events_.ready(std::move(missing));
}

void shard::drain(async::deadline deadline, net::backlog waiting, std::function<void()> done) {
  boost::asio::co_spawn(context_, finish(deadline, waiting),
                        [this, done = std::move(done)](const std::exception_ptr& failure) {
                          if (failure)
                            log_.error("drain_failed", {{"shard", index_}, {"detail", reason_of(failure)}});
                          work_.reset();
                          done();
                        });
}

boost::asio::awaitable<void> shard::finish(async::deadline deadline, net::backlog waiting) {
  co_await http_.drain(deadline, waiting);
  if (upkeep_) co_await upkeep_->stop(deadline);
  co_await database_.close(deadline);
}

void shard::hurry() {
  boost::asio::co_spawn(context_, http_.drain(std::chrono::steady_clock::now()), boost::asio::detached);
}

void shard::ask(std::function<void()> answer) {
  boost::asio::post(context_, std::move(answer));
}

void shard::join() {
  if (thread_.joinable()) thread_.join();
}

void shard::use(const net::tls_context* tls) {
  boost::asio::post(context_, [this, tls] { http_.use(tls); });
}

}  // namespace pam::runtime
