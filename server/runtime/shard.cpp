#include "server/runtime/shard.hpp"

#include <pthread.h>

#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

namespace pam::runtime {
namespace {

// How long a shard waits for its first database connection before it accepts without one.
constexpr std::chrono::seconds first_connection_wait{5};

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

api::settings api_settings_of(const configuration& settings) {
  api::settings how;
  how.prefix = settings.server.prefix;
  how.site_url = settings.server.site_url;
  how.cors_origins = settings.server.cors_origins;
  how.features.email = settings.accounts.email_enabled;
  how.features.disable_signup = !settings.accounts.signup_enabled;
  how.features.mailer_autoconfirm = settings.accounts.auto_confirm;
  // Free routes cost next to nothing; the connection limit bounds them.
  how.in_flight_limits = {settings.limits.connections, settings.admission.read, settings.admission.write,
                          settings.admission.hash};
  return how;
}

}  // namespace

shard::shard(const shared_parts& parts, std::size_t index, const net::tls_context* tls)
    : context_(1),
      work_(boost::asio::make_work_guard(context_)),
      log_(parts.log),
      index_(index),
      requests_(parts.log),
      database_(context_, parts.settings.database, parts.catalogue),
      tokens_(parts.keys, token_policy_of(parts.settings)),
      accounts_(database_, parts.hashes, parts.keys, account_policy_of(parts.settings),
                session_policy_of(parts.settings)),
      sessions_(database_, parts.keys, session_policy_of(parts.settings)),
      application_(api_settings_of(parts.settings), accounts_, sessions_, tokens_, requests_),
      http_(context_, parts.settings.listen, parts.settings.limits, tls, application_) {}

shard::~shard() {
  join();
}

boost::system::result<void, net::listen_error> shard::listen() {
  return http_.listen();
}

void shard::run(std::function<void(std::optional<db::error>)> ready) {
  boost::asio::co_spawn(context_, start(std::move(ready)), [this](const std::exception_ptr& failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& what) {
      log_.error("shard_start_failed", {{"shard", index_}, {"detail", what.what()}});
    }
  });
  thread_ = std::thread{[this] {
    pthread_setname_np(pthread_self(), ("shard-" + std::to_string(index_)).c_str());
    context_.run();
  }};
}

boost::asio::awaitable<void> shard::start(std::function<void(std::optional<db::error>)> ready) {
  auto connected = co_await database_.start(async::within(first_connection_wait));
  std::optional<db::error> missing;
  if (connected.has_error()) missing = connected.error();
  http_.start();
  ready(std::move(missing));
}

void shard::drain(async::deadline deadline, std::function<void()> done) {
  boost::asio::co_spawn(context_, finish(deadline, std::move(done)), boost::asio::detached);
}

boost::asio::awaitable<void> shard::finish(async::deadline deadline, std::function<void()> done) {
  co_await http_.drain(deadline);
  co_await database_.close(deadline);
  work_.reset();
  done();
}

void shard::join() {
  if (thread_.joinable()) thread_.join();
}

void shard::use(const net::tls_context* tls) {
  boost::asio::post(context_, [this, tls] { http_.use(tls); });
}

}  // namespace pam::runtime
