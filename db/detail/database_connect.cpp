// How the facade's channels get their connections, and new ones when they lose them.
#include <algorithm>
#include <random>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "async/tuple_await.hpp"
#include "db/detail/database_impl.hpp"

namespace pam::db {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::milliseconds longest_refusal_delay{5000};
constexpr std::chrono::milliseconds proof_budget{1000};

error unavailable(std::string_view detail) {
  error failure;
  failure.code = errc::unavailable;
  failure.outcome = outcome::not_sent;
  failure.detail = detail;
  return failure;
}

}  // namespace

// ---- waiting for a change of state ----

void database::impl::notify() {
  for (asio::steady_timer* one : watchers_) one->cancel();
}

asio::awaitable<void> database::impl::wait_change(detail::time_point until) {
  struct registration {
    registration(impl& owner, detail::time_point when) : all(owner.watchers_), timer(owner.context_, when) {
      all.push_back(&timer);
    }
    ~registration() { std::erase(all, &timer); }
    std::vector<asio::steady_timer*>& all;
    asio::steady_timer timer;
  };
  registration me{*this, until};
  co_await me.timer.async_wait(async::tuple_await);
}

// ---- one task a pipeline ----

void database::impl::spawn_maintenance() {
  for (std::size_t i = 0; i < settings_.pipelines; ++i) {
    asio::co_spawn(context_, maintain(shared_from_this(), i), asio::detached);
  }
}

// The channel a pipeline needs a connection for: none while one serves, or while both still have a
// stalled one.
std::optional<std::size_t> database::impl::vacancy(std::size_t pipeline) const {
  std::optional<std::size_t> free;
  for (const std::size_t channel : {pipeline, pipeline + settings_.pipelines}) {
    const link& one = links_[channel];
    if (!one.connection) {
      free = channel;
    } else if (!one.closes_at) {
      return std::nullopt;
    }
  }
  return free;
}

asio::awaitable<void> database::impl::maintain([[maybe_unused]] std::shared_ptr<impl> self,
                                               std::size_t pipeline) {
  const async::gate::pass inside = gate_.enter();
  if (!inside) co_return;
  while (!is_closing_) {
    const std::optional<std::size_t> channel = vacancy(pipeline);
    if (!channel) {
      co_await wait_change(detail::time_point::max());
      continue;
    }
    co_await wait_for_turn();
    if (is_closing_) break;
    is_connecting_ = true;
    const result<void> connected = co_await connect_channel(*channel);
    is_connecting_ = false;
    note_attempt(connected);
    notify();
  }
}

// One attempt at a time, and while the server is down one each probe interval, whatever the number of
// channels: a server that comes back is not met by a stampede.
asio::awaitable<void> database::impl::wait_for_turn() {
  while (!is_closing_) {
    if (is_connecting_) {
      co_await wait_change(detail::time_point::max());
    } else if (!async::has_passed(next_probe_)) {
      co_await wait_change(next_probe_);
    } else if (ready_.get() != 0 || failed_rounds_ == 0) {
      co_return;  // the server is there, as far as we know
    } else {
      const auto now = std::chrono::steady_clock::now();
      connect_turns& turns = settings_.turns == nullptr ? own_turns_ : *settings_.turns;
      const auto turn = turns.claim(now, settings_.probe_interval);
      if (turn <= now) co_return;
      co_await wait_change(turn);
    }
  }
}

// Shards and processes that lost the same server must not come back in step: 75 to 125 % of `base`.
std::chrono::milliseconds database::impl::jittered(std::chrono::milliseconds base) {
  const auto spread = std::max<std::chrono::milliseconds::rep>(base.count() / 2, 1);
  std::uniform_int_distribution<std::chrono::milliseconds::rep> offset{0, spread};
  return base - std::chrono::milliseconds{spread / 2} + std::chrono::milliseconds{offset(random_)};
}

void database::impl::note_attempt(const result<void>& connected) {
  if (connected.has_value()) {
    connects_.add();
    refusals_ = failed_rounds_ = 0;
    if (settings_.turns != nullptr) settings_.turns->all_may_try();
    last_failure_.reset();
    next_probe_ = detail::time_point{};
    return;
  }
  last_failure_ = connected.error();
  failed_rounds_ = std::min(failed_rounds_ + 1, 16U);
  // A server that refuses our password does not need to be asked ten times a second.
  const bool is_refused = detail::is_refusal(connected.error().detail);
  refusals_ = is_refused ? std::min(refusals_ + 1, 6U) : 0;
  const auto delay = std::min(settings_.probe_interval * (1U << refusals_), longest_refusal_delay);
  next_probe_ = std::chrono::steady_clock::now() + jittered(delay);
}

// While there are other hosts, one that swallows packets must not use up the second in which they could
// serve; a network that is merely slow gets more time with each round.
std::chrono::milliseconds database::impl::attempt_budget() const {
  constexpr std::chrono::milliseconds first{300};
  if (settings_.hosts.size() < 2) return settings_.connect_timeout;
  return std::min(settings_.connect_timeout, first * (1U << std::min(failed_rounds_, 8U)));
}

// Gets no more work; another connection is opened. It is closed when its last answer came, or after the
// grace: the server may well be finishing what it was given.
void database::impl::replace(std::size_t channel) {
  core_.pause(channel);
  links_[channel].closes_at = std::chrono::steady_clock::now() + settings_.stall_grace;
  ready_.set(ready_.get() - 1);
  preferred_host_ = (preferred_host_ + 1) % settings_.hosts.size();
  notify();
}

void database::impl::on_lost(std::size_t channel, const error& why) {
  disconnects_.add();
  if (!links_[channel].closes_at) ready_.set(ready_.get() - 1);
  links_[channel] = link{};
  last_failure_ = why;
  if (core_.has_moved(channel)) leases_->drop_idle();
  if (!is_closing_) notify();
  deliver();
}

// ---- connecting ----

asio::awaitable<result<void>> database::impl::connect_channel(std::size_t channel) {
  error last = unavailable("no host is configured");
  for (std::size_t i = 0; i < settings_.hosts.size() && !is_closing_; ++i) {
    const std::size_t index = (preferred_host_ + i) % settings_.hosts.size();
    const result<void> connected = co_await connect_channel_to(channel, index);
    if (connected.has_value()) {
      preferred_host_ = index;
      co_return connected;
    }
    last = connected.error();
  }
  co_return last;
}

asio::awaitable<result<void>> database::impl::connect_channel_to(std::size_t channel, std::size_t host) {
  const endpoint& where = settings_.hosts[host];
  const auto until = async::within(attempt_budget());
  bool must_be_safe = false;
  while (true) {
    auto opened =
        co_await detail::connect_session(context_, connecting_, settings_, where, database_at(where), until);
    if (opened.has_error()) co_return opened.error();
    const std::shared_ptr<detail::pg_session> session = std::move(*opened);
    const auto facts = co_await detail::ask_server(*session, until);
    if (facts.has_error()) {
      error failure = facts.error();
      failure.outcome = outcome::not_sent;
      co_return failure;
    }
    if (facts->is_read_only && role_ == role::primary) {
      co_return unavailable("the server is read-only: not the primary");
    }

    detail::pooler_facts pooler;
    const bool may_have_console =
        settings_.mode == pooler_mode::automatic || settings_.mode == pooler_mode::pgbouncer_named;
    if (!facts->is_direct && may_have_console) {
      pooler = co_await detail::ask_console(context_, connecting_, settings_, where, until);
    }
    pooler_mode mode = detail::choose_mode(settings_.mode, *facts, pooler, catalogue_.size());
    if (must_be_safe) mode = pooler_mode::pgbouncer_safe;

    if (PQenterPipelineMode(session->get()) != 1) co_return unavailable("cannot enter pipeline mode");
    const auto proof_until = std::min(until, async::within(proof_budget));
    const detail::proof shown = co_await detail::prove_mode(*session, mode, proof_until);
    if (shown == detail::proof::no_answer) co_return unavailable("no answer to the proof of its mode");
    if (shown == detail::proof::fails) {
      if (mode == pooler_mode::pgbouncer_safe) co_return unavailable("the connection mixes up answers");
      must_be_safe = true;
      continue;
    }

    detail::pipeline_connection::hooks hooks;
    hooks.on_progress = [this] { deliver(); };
    hooks.on_lost = [this, channel](const error& why) { on_lost(channel, why); };
    const auto connection =
        std::make_shared<detail::pipeline_connection>(session, core_, channel, mode, std::move(hooks));
    if (role_ == role::replica) connection->ask_position();
    if (!co_await connection->prepare(catalogue_, until)) co_return unavailable("lost while preparing");
    if (is_closing_) co_return unavailable("closing");

    detail::channel_rules rules;
    rules.batches_in_flight = mode == pooler_mode::pgbouncer_safe ? 1 : settings_.batches_in_flight;
    rules.atomic_batches = !facts->is_citus;
    learned_ = {mode, facts->version, rules.atomic_batches};
    connecting_.remove(session);
    session->set_direct(facts->is_direct);
    links_[channel].connection = connection;
    links_[channel].host = host;
    give_up_other_hosts(host);
    ready_.set(ready_.get() + 1);
    core_.open(channel, rules);
    connection->start();
    schedule_flush();
    co_return result<void>{};
  }
}

// The primary is elsewhere: what a connection to the old one has not answered yet is sent again at once,
// rather than after its grace.
void database::impl::give_up_other_hosts(std::size_t host) {
  for (link& one : links_) {
    if (one.connection && one.closes_at && one.host != host) one.closes_at = std::chrono::steady_clock::now();
  }
}

asio::awaitable<result<std::shared_ptr<detail::pg_session>>> database::impl::open_lease(
    async::deadline until) {
  const auto self = shared_from_this();
  // The pipelines look for a server that is away, in turns; who wants a lease waits for what they find.
  while (is_started_ && ready_.get() == 0 && !is_closing_ && !async::has_passed(until))
    co_await wait_change(until);
  if (is_closing_) co_return unavailable("closing");
  if (is_started_ && ready_.get() == 0) {
    co_return unavailable(last_failure_ ? last_failure_->detail : "no connection before the deadline");
  }
  error last = unavailable("no host is configured");
  for (std::size_t i = 0; i < settings_.hosts.size(); ++i) {
    const std::size_t index = (preferred_host_ + i) % settings_.hosts.size();
    const auto attempt_until = std::min(until, async::within(attempt_budget()));
    const endpoint& where = settings_.hosts[index];
    auto opened = co_await detail::connect_session(context_, connecting_, settings_, where,
                                                   database_at(where), attempt_until);
    if (opened.has_error()) {
      last = opened.error();
      continue;
    }
    const auto facts = co_await detail::ask_server(**opened, attempt_until);
    if (facts.has_value() && !facts->is_read_only) {
      connecting_.remove(*opened);
      (*opened)->set_direct(facts->is_direct);
      co_return std::move(*opened);
    }
    last = facts.has_error() ? facts.error() : unavailable("the server is read-only: not the primary");
    last.outcome = outcome::not_sent;
  }
  co_return last;
}

}  // namespace pam::db
