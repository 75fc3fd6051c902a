#include "db/database.hpp"

#include <cassert>
#include <random>
#include <utility>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include "async/tuple_await.hpp"
#include "db/detail/database_impl.hpp"
#include "db/detail/failure.hpp"
#include "db/detail/traced_step.hpp"

namespace pam::db {

namespace asio = boost::asio;

using detail::failure_of;

namespace {

detail::core_limits limits_of(const config& settings) {
  detail::core_limits limits;
  limits.channels = 2 * settings.pipelines;  // see impl::link
  limits.queue = settings.queue_limit;
  limits.batch = settings.batch_limit;
  limits.batch_bytes = settings.batch_bytes;
  // By then a connection that stalled has been closed, what it ran was cancelled and has been sent again.
  limits.outcome_grace = settings.stall_limit + settings.stall_grace;
  return limits;
}

}  // namespace

// ---- the facade's inside ----

database::impl::impl(asio::io_context& context, config settings, std::span<const statement* const> catalogue,
                     role whom)
    : context_(context),
      settings_(std::move(settings)),
      role_(whom),
      catalogue_(catalogue),
      core_(limits_of(settings_), std::random_device{}()),
      links_(2 * settings_.pipelines),
      cancels_(std::make_shared<detail::canceller>(context)),
      gate_(context.get_executor()),
      timer_(context),
      own_watch_(settings_.replicas.size()),
      watch_(settings_.watch == nullptr ? own_watch_ : *settings_.watch) {}

database::impl::~impl() = default;

std::shared_ptr<database::impl> database::impl::make(asio::io_context& context, config settings,
                                                     std::span<const statement* const> catalogue, role whom) {
  auto made = std::make_shared<impl>(context, std::move(settings), catalogue, whom);
  // The pool's opener must not keep the facade alive: the facade owns the pool.
  auto open = [inside = made.get()](async::deadline until) { return inside->open_lease(until); };
  made->leases_ = std::make_shared<detail::lease_pool>(
      context, made->settings_.leases, made->settings_.lease_queue_limit, std::move(open), made->cancels_);
  for (std::size_t i = 0; i < made->settings_.replicas.size(); ++i) {
    config its = made->settings_;
    its.hosts = {made->settings_.replicas[i]};
    its.replicas.clear();
    its.pipelines = 1;
    its.heartbeat = std::chrono::milliseconds{0};
    its.turns = &made->watch_.connecting(i);
    its.watch = nullptr;
    // A replica that is away is missed by nobody.
    its.probe_interval = 5 * its.probe_interval;
    made->replicas_.push_back(make(context, std::move(its), catalogue, role::replica));
  }
  if (!made->replicas_.empty()) made->freshness_.emplace(detail::gate_limits{}, made->replicas_.size());
  return made;
}

void database::impl::begin() {
  if (std::exchange(is_started_, true)) return;
  spawn_maintenance();
  if (freshness_) listen_to_others();
  for (std::size_t i = 0; i < replicas_.size(); ++i) {
    replicas_[i]->begin();
    asio::co_spawn(context_, probe_replica(shared_from_this(), i), asio::detached);
  }
  if (role_ == role::primary && (freshness_ || settings_.heartbeat.count() != 0)) {
    asio::co_spawn(context_, probe_primary(shared_from_this()), asio::detached);
  }
}

asio::awaitable<result<rows>> database::impl::run(const statement& what, params values,
                                                  call_options options) {
  const auto initiate = [](handler reply, std::shared_ptr<impl> self, const statement* which, params given,
                           call_options how) {
    self->submit(std::move(reply), *which, std::move(given), how);
  };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(result<rows>)>(
      initiate, asio::use_awaitable, shared_from_this(), &what, std::move(values), options);
}

void database::impl::refuse(handler reply, errc code, std::string_view detail) {
  const auto executor = asio::get_associated_executor(reply, context_.get_executor());
  auto answer = [reply = std::move(reply), failure = failure_of(code, outcome::not_sent, detail)]() mutable {
    reply(result<rows>{std::move(failure)});
  };
  asio::post(executor, std::move(answer));
}

void database::impl::submit(handler reply, const statement& what, params values, call_options options) {
  if (is_closing_) return refuse(std::move(reply), errc::closed, "closing");
  // PostgreSQL calls it a protocol violation, on a connection that strangers share.
  if (values.size() != what.parameter_count) {
    return refuse(std::move(reply), errc::protocol, "number of parameters differs from the statement's");
  }
  call* item = nullptr;
  if (free_.empty()) {
    item = &entries_.emplace_back();
  } else {
    item = free_.back();
    free_.pop_back();
  }
  item->what = &what;
  item->values = std::move(values);
  item->deadline = options.deadline;
  item->costs = options.deadline.costs();
  if (item->costs != nullptr) item->submitted = std::chrono::steady_clock::now();
  if (!core_.submit(*item)) {
    recycle(*item);
    return refuse(std::move(reply), errc::queue_full, "too many statements wait");
  }
  auto slot = asio::get_associated_cancellation_slot(reply);
  if (slot.is_connected()) {
    slot.assign([self = weak_from_this(), item, number = item->sequence](asio::cancellation_type) {
      if (const auto alive = self.lock()) alive->cancelled(*item, number);
    });
  }
  item->reply.emplace(std::move(reply));
  schedule_flush();
}

// The caller gives up: it is answered at once, the entry keeps its place in its batch. A signal that is
// emitted twice may find the entry recycled: the number says whose it is.
void database::impl::cancelled(call& item, std::uint64_t number) {
  if (!item.reply || item.sequence != number) return;
  const bool was_sent = item.place == detail::place::sent || item.may_have_run;
  handler reply = std::move(*item.reply);
  item.reply.reset();
  item.costs = nullptr;  // they go with the caller
  core_.abandon(item);
  const auto executor = asio::get_associated_executor(reply, context_.get_executor());
  const outcome what = was_sent ? outcome::unknown : outcome::not_sent;
  auto answer = [reply = std::move(reply),
                 failure = failure_of(errc::deadline, what, "cancelled by its caller")]() mutable {
    reply(result<rows>{std::move(failure)});
  };
  asio::post(executor, std::move(answer));
  schedule_flush();  // collects what the core released
}

void database::impl::recycle(call& item) {
  item.values = params{};
  item.answer = rows{};
  item.failure = error{};
  item.has_failed = item.was_sent_by_name = false;
  item.sent_epoch = 0;
  item.is_abandoned = item.is_isolated = item.is_hurried = item.may_have_run = false;
  item.is_apart = false;
  item.is_awaited = false;
  item.run = 1;
  item.losses = item.lock_tries = item.replans = 0;
  item.place = detail::place::nowhere;
  item.costs = nullptr;
  item.submitted = item.sent = detail::time_point{};
  free_.push_back(&item);
}

// Everything submitted in this turn of the event loop goes out together: that is the group commit.
void database::impl::schedule_flush() {
  if (is_flush_scheduled_) return;
  is_flush_scheduled_ = true;
  asio::post(context_, [self = shared_from_this()] {
    self->is_flush_scheduled_ = false;
    self->flush();
  });
}

void database::impl::flush() {
  const auto now = std::chrono::steady_clock::now();
  while (const auto channel = core_.ready_channel()) {
    const auto batch = core_.take_batch(*channel, now);
    if (batch.empty()) continue;
    note_sent(batch, now);
    links_[*channel].connection->send(batch);
  }
  deliver();
}

void database::impl::note_sent(std::span<detail::entry* const> batch, detail::time_point now) {
  for (detail::entry* each : batch) {
    auto& item = static_cast<call&>(*each);
    if (item.costs != nullptr && item.sent == detail::time_point{}) item.sent = now;
  }
}

// A statement that was never sent has only waited.
void database::impl::count_costs(call& item) {
  if (item.costs == nullptr) return;
  const auto now = std::chrono::steady_clock::now();
  const bool was_sent = item.sent != detail::time_point{};
  const auto left = was_sent ? item.sent : now;
  item.costs->database_queue += left - item.submitted;
  item.costs->database += now - left;
  if (was_sent) ++item.costs->statements;
  if (item.costs->timeline != nullptr) {
    async::call_step step = detail::step_of(*item.what, item.submitted);
    step.began = left;
    step.ended = now;
    if (item.has_failed) detail::note_failure(step, item.failure);
    item.costs->timeline->add(step);
  }
  item.costs = nullptr;
}

// Answers whom the core has finished with. Handlers run only after the core is at rest: they may call
// `execute` again, which then joins the next batch.
void database::impl::deliver() {
  const auto self = shared_from_this();  // a handler may destroy the facade
  core_.collect(effects_);
  std::vector<answered_call> answered = std::move(answered_);
  for (detail::entry* finished : effects_.finished) {
    auto& item = static_cast<call&>(*finished);
    asio::get_associated_cancellation_slot(*item.reply).clear();
    count_costs(item);
    handler reply = std::move(*item.reply);
    item.reply.reset();
    if (item.has_failed) {
      answered.push_back({std::move(reply), std::move(item.failure)});
    } else {
      answered.push_back({std::move(reply), std::move(item.answer)});
    }
  }
  for (detail::entry* released : effects_.released) recycle(static_cast<call&>(*released));
  arm_timer();
  if (core_.ready_channel()) schedule_flush();
  if (is_closing_ && !core_.is_progressing()) notify();

  for (answered_call& one : answered) {
    const auto executor = asio::get_associated_executor(one.reply, context_.get_executor());
    auto answer = [reply = std::move(one.reply), value = std::move(one.value)]() mutable {
      reply(std::move(value));
    };
    asio::dispatch(executor, std::move(answer));
  }
  answered.clear();
  answered_ = std::move(answered);  // keep its memory
}

void database::impl::arm_timer() {
  std::optional<detail::time_point> wanted = core_.next_tick();
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const auto sent = core_.oldest_sent(i);
    if (!sent) continue;
    const auto late = links_[i].closes_at.value_or(*sent + settings_.stall_limit);
    wanted = std::min(wanted.value_or(late), late);
  }
  // A timer that fires too early costs one look; setting it anew for each statement costs more.
  if (!wanted || (armed_for_ && *armed_for_ <= *wanted)) return;
  armed_for_ = wanted;
  timer_.expires_at(*wanted);
  timer_.async_wait([self = weak_from_this()](const boost::system::error_code& failure) {
    const auto alive = self.lock();
    if (failure || !alive) return;
    alive->armed_for_.reset();
    alive->on_timer();
  });
}

void database::impl::on_timer() {
  const auto now = std::chrono::steady_clock::now();
  core_.tick(now);
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const auto sent = core_.oldest_sent(i);
    if (!sent) continue;
    if (!links_[i].closes_at) {
      if (*sent + settings_.stall_limit <= now) replace(i);
    } else if (*links_[i].closes_at <= now) {
      const auto stalled = links_[i].connection;
      cancels_->send(stalled->session());
      stalled->lose(failure_of(errc::connection, outcome::unknown, "no answer within the stall limit"));
    }
  }
  deliver();
}

// ---- the facade ----

database::database(asio::io_context& context, config settings, std::span<const statement* const> catalogue)
    : impl_(impl::make(context, std::move(settings), catalogue, impl::role::primary)) {}

database::~database() {
  impl_->drop();
}

// Without close(): nobody is answered any more, but nothing may call back into a dead object either.
void database::impl::drop() {
  for (const auto& one : replicas_) one->drop();
  watch_.forget(ears_);
  is_closing_ = true;
  gate_.begin_close();
  connecting_.stop_all();
  for (const auto& one : links_) {
    if (one.connection) one.connection->close();
  }
  timer_.cancel();
  cancels_->join();  // its threads post to the context
  notify();
}

asio::awaitable<result<void>> database::start(async::deadline deadline) {
  const auto self = impl_;
  self->begin();
  while (!is_ready() && !self->is_closing_ && !async::has_passed(deadline)) {
    co_await self->wait_change(deadline);
  }
  if (is_ready()) co_return result<void>{};
  if (self->is_closing_) co_return failure_of(errc::closed, outcome::not_sent, "closing");
  if (self->last_failure_) co_return *self->last_failure_;
  co_return failure_of(errc::unavailable, outcome::not_sent, "no connection before the deadline");
}

asio::awaitable<result<rows>> database::execute(const statement& what, params values, call_options options) {
  if (impl_->freshness_ && options.read == read_from::replica) {
    return impl_->read_somewhere(impl_, &what, std::move(values), options);
  }
  if (impl_->freshness_ && options.account && what.opts.rank != lock_rank::none) {
    return impl_->write_and_mark(impl_, &what, std::move(values), options);
  }
  return impl_->run(what, std::move(values), options);
}

asio::awaitable<void> database::close(async::deadline deadline) {
  const auto self = impl_;
  co_await self->close(deadline);
}

asio::awaitable<void> database::impl::close(async::deadline deadline) {
  const auto self = shared_from_this();
  watch_.forget(ears_);
  is_closing_ = true;
  gate_.begin_close();
  connecting_.stop_all();
  notify();
  // Statements under way, queued ones included, get their chance; nothing connects for them any more.
  while (core_.is_progressing() && !async::has_passed(deadline)) co_await wait_change(deadline);
  core_.shut_down();
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const auto connection = links_[i].connection;
    if (!connection) continue;
    if (core_.batches_in_flight(i) != 0) cancels_->send(connection->session());
    connection->lose(failure_of(errc::closed, outcome::unknown, "closing"));
  }
  deliver();
  timer_.cancel();
  co_await leases_->close(deadline);
  notify();
  for (const auto& one : replicas_) co_await one->close(deadline);
  co_await gate_.close();
  co_await cancels_->close();
}

bool database::is_ready() const {
  return impl_->ready_.get() != 0;
}

bool database::has_replicas() const {
  return impl_->freshness_.has_value();
}

capabilities database::learned() const {
  return impl_->learned_;
}

statistics database::stats() const {
  const detail::core_counters& core = impl_->core_.counters();
  statistics all;
  all.statements_sent = core.sent.get();
  all.statements_executed = core.executed.get();
  all.statements_failed = core.failed.get();
  all.statements_resent = core.resent.get();
  all.statements_together = core.together.get();
  all.batches = core.batches.get();
  all.rejected_queue_full = core.queue_full.get();
  all.expired = core.expired.get();
  all.data_errors = core.data_errors.get();
  all.connects = impl_->connects_.get();
  all.disconnects = impl_->disconnects_.get();
  all.queued = core.queued.get();
  all.in_flight = core.in_flight.get();
  all.connections_ready = impl_->ready_.get();
  all.leases_in_use = impl_->leases_->in_use_counter().get();
  all.lease_waiters = impl_->leases_->waiters_counter().get();
  all.replica_reads = impl_->replica_reads_.get();
  all.replica_fallbacks = impl_->replica_fallbacks_.get();
  all.replica_waits = impl_->replica_waits_.get();
  all.replica_ejections = impl_->replica_ejections_.get();
  all.replicas_admitted = impl_->replicas_admitted_.get();
  return all;
}

}  // namespace pam::db
