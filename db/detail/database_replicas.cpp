// Reads on replicas: the probes that feed the gate, and the way of one read.
#include <algorithm>
#include <array>
#include <utility>

#include <boost/asio/post.hpp>

#include "db/detail/database_impl.hpp"

namespace pam::db {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::milliseconds probe_budget{500};
/// A replica that has not answered by then is not worth waiting for: the primary will.
constexpr std::chrono::milliseconds replica_budget{250};
/// Between two questions to a replica that was not there yet.
constexpr std::chrono::milliseconds retry_interval{4};

// A standby refuses it (55000): what a silently demoted server says is never taken for the primary's word.
constexpr statement flushed_position{
    "SELECT (f OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn)::pg_catalog.int8,"
    " ('x' || pg_catalog.left(pg_catalog.pg_walfile_name(f), 8))::pg_catalog.bit(32)::pg_catalog.int4"
    " FROM pg_catalog.pg_current_wal_flush_lsn() AS f",
    std::array<pg_type, 0>{},
    {}};

// The batch itself asks for the position.
constexpr statement nothing{"SELECT", std::array<pg_type, 0>{}, {}};

// A caller that left or had little time says nothing about the replica, nor does an error of its statement.
bool speaks_of_replica(const error& failure, async::deadline asked) {
  if (failure.code == errc::deadline) return async::has_passed(asked + replica_budget);
  return failure.code == errc::connection || failure.code == errc::unavailable ||
         failure.code == errc::protocol;
}

}  // namespace

asio::awaitable<void> database::impl::rest(async::deadline until) {
  while (!is_closing_ && !async::has_passed(until)) co_await wait_change(until);
}

void database::impl::note_gate() {
  replica_ejections_.set(freshness_->ejections());
  replicas_admitted_.set(freshness_->admitted());
}

// ---- looks, one for all shards of the process ----

void database::impl::listen_to_others() {
  const auto executor = context_.get_executor();
  ears_ = watch_.listen([executor, weak = weak_from_this()](const replica_watch::sight& seen) {
    asio::post(executor, [weak, seen] {
      if (const auto self = weak.lock()) self->hear(seen);
    });
  });
}

void database::impl::tell(std::size_t whose, detail::time_point asked, wal_position at) {
  replica_watch::sight seen;
  seen.whose = whose;
  seen.asked = asked;
  seen.at = at;
  watch_.tell(seen, ears_);
}

// Another shard's word counts as far as it speaks of the servers this one is connected to: while the primary
// moves, two shards may be on two of them, and each must know its own.
void database::impl::hear(const replica_watch::sight& seen) {
  if (is_closing_) return;
  if (seen.whose != replica_watch::of_primary) {
    if (replicas_[seen.whose]->ready_.get() != 0)
      freshness_->note_replica(seen.whose, seen.asked, seen.at.lsn);
  } else if (looked_connects_ == connects_.get() && looked_timeline_ == seen.at.timeline) {
    freshness_->note_primary(seen.asked, seen.at);
    freshness_->tick(std::chrono::steady_clock::now());
  } else {
    at_primary_.must = true;
  }
  note_gate();
  notify();  // reads may wait for it
}

// A shard looks when the turn is its own, when what others say does not do, and once a heartbeat, since only
// it can see its own connection stall. @return false: closing
asio::awaitable<bool> database::impl::wait_for_look(std::size_t whose, look& mine) {
  connect_turns& turns = watch_.looking(whose);
  while (!is_closing_) {
    const auto now = std::chrono::steady_clock::now();
    const auto beat =
        settings_.heartbeat.count() == 0 ? detail::time_point::max() : mine.asked + settings_.heartbeat;
    if (mine.must || beat <= now) co_return true;
    const auto turn = turns.claim(now, settings_.replica_probe_interval);
    if (turn <= now) co_return true;
    co_await wait_change(std::min(turn, beat));
  }
  co_return false;
}

asio::awaitable<void> database::impl::probe_primary([[maybe_unused]] std::shared_ptr<impl> self) {
  const async::gate::pass inside = gate_.enter();
  if (!inside) co_return;
  while (!is_closing_) {
    if (freshness_ && !co_await wait_for_look(replica_watch::of_primary, at_primary_)) break;
    const auto asked = std::chrono::steady_clock::now();
    at_primary_.asked = asked;
    const std::uint64_t connects = connects_.get();
    call_options options;
    options.deadline = asked + probe_budget;
    const auto answer = co_await run(flushed_position, params{}, options);
    if (answer.has_value() && freshness_) {
      wal_position flushed;
      flushed.lsn = static_cast<std::uint64_t>(answer->int8(0, 0));
      flushed.timeline = static_cast<std::uint32_t>(answer->int4(0, 1));
      freshness_->note_primary(asked, flushed);
      at_primary_.must = false;
      looked_connects_ = connects;
      looked_timeline_ = flushed.timeline;
      tell(replica_watch::of_primary, asked, flushed);
    }
    if (freshness_) {
      freshness_->tick(std::chrono::steady_clock::now());
      note_gate();
      notify();  // reads may wait for it
    }
    co_await rest(asked + (freshness_ ? settings_.replica_probe_interval : settings_.heartbeat));
  }
}

asio::awaitable<void> database::impl::probe_replica([[maybe_unused]] std::shared_ptr<impl> self,
                                                    std::size_t which) {
  const async::gate::pass inside = gate_.enter();
  if (!inside) co_return;
  look mine;
  while (!is_closing_) {
    if (replicas_[which]->ready_.get() == 0) {
      // Whoever cannot read there does not look, and takes nobody's word.
      freshness_->note_lost(which);
      note_gate();
      co_await rest(std::chrono::steady_clock::now() + settings_.replica_probe_interval);
      continue;
    }
    if (!co_await wait_for_look(which, mine)) break;
    const auto asked = std::chrono::steady_clock::now();
    mine.asked = asked;
    const auto answer = co_await ask_replica(which, nothing, params{}, asked + probe_budget);
    if (answer.has_value() && answer->replayed() != 0) {
      wal_position replayed;
      replayed.lsn = answer->replayed();
      tell(which, asked, replayed);
    }
    note_gate();
    co_await rest(asked + settings_.replica_probe_interval);
  }
}

// One question; what it shows of the replica, its failure included, goes to the gate.
asio::awaitable<result<rows>> database::impl::ask_replica(std::size_t which, const statement& what,
                                                          params values, async::deadline deadline) {
  const auto asked = std::chrono::steady_clock::now();
  call_options options;
  options.deadline = deadline;
  auto answer = co_await replicas_[which]->run(what, std::move(values), options);
  if (answer.has_value() && answer->replayed() != 0) {
    freshness_->note_replica(which, asked, answer->replayed());
  } else if (answer.has_value() || speaks_of_replica(answer.error(), asked)) {
    freshness_->note_lost(which);
  }
  co_return answer;
}

asio::awaitable<result<rows>> database::impl::read_somewhere([[maybe_unused]] std::shared_ptr<impl> self,
                                                             const statement* what, params values,
                                                             call_options options) {
  const auto give_up =
      std::min(options.deadline.unmetered(), std::chrono::steady_clock::now() + freshness_->limits().wait);
  bool has_waited = false;
  while (!is_closing_) {
    const auto now = std::chrono::steady_clock::now();
    const auto decided = freshness_->judge(options.account, options.seen, now);
    if (decided.where == detail::replica_gate::answer::primary) break;
    if (decided.where == detail::replica_gate::answer::replica) {
      const std::size_t which = freshness_->choose(decided.need, now);
      if (which == detail::replica_gate::nobody) break;
      const async::deadline until{std::min(options.deadline.unmetered(), now + replica_budget),
                                  options.deadline.costs()};
      auto answer = co_await ask_replica(which, *what, values.copy(), until);
      if (answer.has_error()) break;  // a conflict with the recovery, or a lost connection
      if (answer->replayed() != 0 && answer->replayed() >= decided.need) {
        replica_reads_.add();
        co_return answer;
      }
    }
    if (!std::exchange(has_waited, true)) replica_waits_.add();
    const auto again = std::chrono::steady_clock::now() + retry_interval;
    if (again >= give_up) break;
    co_await wait_change(again);
  }
  replica_fallbacks_.add();
  co_return co_await run(*what, std::move(values), options);
}

asio::awaitable<result<rows>> database::impl::write_and_mark([[maybe_unused]] std::shared_ptr<impl> self,
                                                             const statement* what, params values,
                                                             call_options options) {
  auto answer = co_await run(*what, std::move(values), options);
  // Failures too: an unknown outcome may be a commit.
  freshness_->note_write(*options.account, std::chrono::steady_clock::now());
  co_return answer;
}

}  // namespace pam::db
