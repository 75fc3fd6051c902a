#include "db/detail/lease_pool.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "async/tuple_await.hpp"

namespace pam::db::detail {

namespace asio = boost::asio;

namespace {

// A rollback is local work of the server; one that takes longer is not worth the connection.
constexpr std::chrono::milliseconds rollback_budget{500};

error not_sent(errc code, std::string_view detail) {
  error failure;
  failure.code = code;
  failure.outcome = outcome::not_sent;
  failure.detail = detail;
  return failure;
}

}  // namespace

lease::lease(std::shared_ptr<lease_pool> pool, std::shared_ptr<pg_session> session)
    : pool_(std::move(pool)), session_(std::move(session)) {}

lease& lease::operator=(lease&& other) noexcept {
  if (this != &other) {
    give_back();
    pool_ = std::move(other.pool_);
    session_ = std::move(other.session_);
  }
  return *this;
}

void lease::give_back() {
  if (!session_) return;
  const auto pool = std::move(pool_);
  pool->take_back(std::move(session_));
}

lease_pool::lease_pool(asio::io_context& context, std::size_t limit, std::size_t waiter_limit, opener open,
                       std::shared_ptr<canceller> cancels)
    : context_(context),
      limit_(limit),
      waiter_limit_(waiter_limit),
      open_(std::move(open)),
      cancels_(std::move(cancels)),
      gate_(context.get_executor()),
      all_back_(context, asio::steady_timer::time_point::max()) {}

asio::awaitable<result<lease>> lease_pool::acquire(async::deadline until) {
  const auto self = shared_from_this();
  if (is_closing_) co_return not_sent(errc::closed, "closing");
  if (auto session = take_idle()) co_return hand_out(std::move(session));
  if (places_ < limit_) {
    ++places_;
    co_return co_await open_one(place{*this}, until);
  }
  if (line_.size() >= waiter_limit_) co_return not_sent(errc::queue_full, "too many wait for a connection");

  // The line refers to this frame: the guard leaves it however the frame ends, and passes on what was
  // handed over too late.
  struct place_in_line {
    place_in_line(lease_pool& pool, asio::io_context& context) : owner(pool), me(context) {
      owner.line_.push_back(&me);
      owner.waiting_.set(owner.line_.size());
    }
    ~place_in_line() {
      std::erase(owner.line_, &me);
      owner.waiting_.set(owner.line_.size());
      if (me.session) owner.offer(std::move(me.session));
      if (me.may_open) owner.drop_place();
    }
    lease_pool& owner;
    waiter me;
  };
  place_in_line here{*this, context_};
  here.me.turn.expires_at(until);
  co_await here.me.turn.async_wait(async::tuple_await);
  if (here.me.session) co_return hand_out(std::exchange(here.me.session, nullptr));
  if (std::exchange(here.me.may_open, false)) co_return co_await open_one(place{*this}, until);
  if (is_closing_) co_return not_sent(errc::closed, "closing");
  co_return not_sent(errc::deadline, "no connection came free");
}

// The place is kept by the parameter: a caller that is cancelled may never get as far as the body.
asio::awaitable<result<lease>> lease_pool::open_one(place kept, async::deadline until) {
  auto opened = co_await open_(until);
  if (opened.has_error()) co_return opened.error();
  if (is_closing_) co_return not_sent(errc::closed, "closing");
  kept.owner = nullptr;
  co_return hand_out(std::move(*opened));
}

std::shared_ptr<pg_session> lease_pool::take_idle() {
  while (!idle_.empty()) {
    std::shared_ptr<pg_session> session = std::move(idle_.back());
    idle_.pop_back();
    if (session->is_clean()) return session;
    drop_place();  // the server hung up meanwhile
  }
  return nullptr;
}

lease lease_pool::hand_out(std::shared_ptr<pg_session> session) {
  out_.push_back(session);
  in_use_.set(out_.size());
  return lease{shared_from_this(), std::move(session)};
}

void lease_pool::take_back(std::shared_ptr<pg_session> session) {
  std::erase_if(out_, [&](const std::weak_ptr<pg_session>& one) { return one.lock() == session; });
  in_use_.set(out_.size());
  if (is_closing_ && out_.empty()) all_back_.cancel();
  if (!session->is_usable() || session->is_retired() || is_closing_) {
    discard(session);
    return;
  }
  switch (PQtransactionStatus(session->get())) {
    case PQTRANS_IDLE:
      offer(std::move(session));
      break;
    case PQTRANS_INTRANS:
    case PQTRANS_INERROR:
      rolling_back_.push_back(session);
      asio::co_spawn(context_, roll_back(shared_from_this(), std::move(session), gate_.enter()),
                     asio::detached);
      break;
    case PQTRANS_ACTIVE:  // its caller left in the middle of a statement
    case PQTRANS_UNKNOWN:
      discard(session);
      break;
  }
}

// What runs on it, if anything, is of use to nobody: its locks are given back at once.
void lease_pool::discard(const std::shared_ptr<pg_session>& session) {
  cancels_->send(*session);
  session->close();
  drop_place();
}

void lease_pool::drop_idle() {
  for (const auto& session : std::exchange(idle_, {})) discard(session);
}

asio::awaitable<void> lease_pool::roll_back(std::shared_ptr<lease_pool> self,
                                            std::shared_ptr<pg_session> session,
                                            async::gate::pass /*inside*/) {
  const auto done = co_await session->run_simple("ROLLBACK", async::within(rollback_budget));
  std::erase_if(self->rolling_back_,
                [&](const std::weak_ptr<pg_session>& one) { return one.lock() == session; });
  if (done.has_value() && !self->is_closing_ && session->is_clean()) {
    self->offer(std::move(session));
  } else {
    self->discard(session);
  }
}

void lease_pool::offer(std::shared_ptr<pg_session> session) {
  for (waiter* one : line_) {
    if (one->is_served) continue;
    one->is_served = true;
    one->session = std::move(session);
    one->turn.cancel();
    return;
  }
  if (!is_closing_) {
    idle_.push_back(std::move(session));
    return;
  }
  session->close();
  drop_place();
}

// One connection fewer: the first in line may open another in its place.
void lease_pool::drop_place() {
  if (!is_closing_) {
    for (waiter* one : line_) {
      if (one->is_served) continue;
      one->is_served = true;
      one->may_open = true;
      one->turn.cancel();
      return;
    }
  }
  --places_;
}

asio::awaitable<void> lease_pool::close(async::deadline until) {
  const auto self = shared_from_this();
  is_closing_ = true;
  for (waiter* one : line_) one->turn.cancel();
  places_ -= idle_.size();
  idle_.clear();
  // The end of a connection rolls back as well.
  for (const std::weak_ptr<pg_session>& one : rolling_back_) {
    if (const auto session = one.lock()) session->close();
  }
  all_back_.expires_at(until);
  if (!out_.empty()) co_await all_back_.async_wait(async::tuple_await);
  for (const std::weak_ptr<pg_session>& one : out_) {
    const auto session = one.lock();
    if (!session) continue;
    cancels_->send(*session);
    session->close();
  }
  co_await gate_.close();
}

}  // namespace pam::db::detail
