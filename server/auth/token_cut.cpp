#include "server/auth/token_cut.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <list>
#include <optional>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include "async/tuple_await.hpp"
#include "server/auth/detail/add_or_null.hpp"
#include "server/auth/detail/with_partitions.hpp"
#include "server/crypto/random.hpp"

namespace pam::auth {
namespace {

constexpr db::statement read_statement{"SELECT valid_after FROM token_cut WHERE id = 1",
                                       std::array<db::pg_type, 0>{},
                                       {.is_urgent = true, .summary = "read_token_cut"}};

// greatest(): repeatable, and two administrators at once leave the later moment. The event is everybody's: it
// stands under the nil account.
constexpr db::statement move_statement{
    "WITH cut AS (UPDATE token_cut SET valid_after = greatest(valid_after, $1) WHERE id = 1 RETURNING "
    "valid_after), event AS (INSERT INTO auth_events (account_id, occurred_at, id, kind, success, ip, "
    "request_id, actor) SELECT $2, $1, $3, 'everybody_signed_out', true, $4, $5, $6 FROM cut ON CONFLICT DO "
    "NOTHING) SELECT valid_after FROM cut",
    db::types(db::pg_type::timestamptz, db::pg_type::uuid, db::pg_type::uuid, db::pg_type::inet,
              db::pg_type::text, db::pg_type::text),
    {.batch = db::batch::alone,
     .rank = db::lock_rank::other,
     .conflict_key = 0,
     .summary = "move_token_cut"}};

constexpr std::array<const db::statement*, 2> all_statements{&read_statement, &move_statement};

error missing_row() {
  error failure;
  failure.reason = "token_cut";
  failure.detail = "the table token_cut has lost its row; `pam-auth migrate verify` says more";
  return failure;
}

}  // namespace

/// A read under way, and who waits for its answer. Shared by all of them.
class token_cut::reading {
 public:
  reading() = default;
  reading(const reading&) = delete;
  reading& operator=(const reading&) = delete;

  [[nodiscard]] clock::time_point asked() const { return asked_; }

  void end(const result<timestamp>& answer) {
    answer_ = answer;
    for (boost::asio::steady_timer* each : waiting_) each->cancel();
  }

  /// Its answer, or that the deadline has passed.
  static boost::asio::awaitable<result<timestamp>> answer_of(std::shared_ptr<reading> what,
                                                             async::deadline deadline) {
    const auto executor = co_await boost::asio::this_coro::executor;
    boost::asio::steady_timer until{executor, deadline};
    const place_in_line mine{what->waiting_, until};
    if (!what->answer_) co_await until.async_wait(async::tuple_await);
    if (what->answer_) co_return *what->answer_;
    db::error late;
    late.code = db::errc::deadline;
    late.outcome = db::outcome::not_sent;
    co_return from_database(late);
  }

 private:
  using line = std::list<boost::asio::steady_timer*>;
  class place_in_line {
   public:
    place_in_line(line& of, boost::asio::steady_timer& timer) : of_(of), at_(of.insert(of.end(), &timer)) {}
    ~place_in_line() { of_.erase(at_); }
    place_in_line(const place_in_line&) = delete;
    place_in_line& operator=(const place_in_line&) = delete;

   private:
    line& of_;
    line::iterator at_;
  };

  clock::time_point asked_ = clock::now();
  std::optional<result<timestamp>> answer_;
  line waiting_;
};

// Somebody else reads it anew while it is between the two ages: nobody waits for that.
bool token_cut::is_young(clock::time_point now) const {
  const bool is_known = as_of_ != clock::time_point::min();
  return is_known && now - as_of_ < (newest_ ? max_age : refresh_after);
}

bool token_cut::lets_in(const uuid& session) const {
  return is_young(clock::now()) && session_start(session) >= valid_after_;
}

// A read that is under way serves whoever could have gone by its answer if it had been there when he came.
// With a read for each, a database that answers late would have twice as much to answer.
boost::asio::awaitable<result<timestamp>> token_cut::valid_after(async::deadline deadline) {
  const auto came = clock::now();
  if (is_young(came)) co_return valid_after_;
  if (newest_ && came - newest_->asked() < max_age) co_return co_await reading::answer_of(newest_, deadline);
  const bool is_known = as_of_ != clock::time_point::min();
  const auto mine = std::make_shared<reading>();
  newest_ = mine;
  auto fresh = co_await read(deadline);
  if (fresh.has_value()) learn(*fresh, mine->asked());
  if (newest_ == mine) newest_.reset();
  // What is known may still be young enough: one lost read fails nobody.
  if (fresh.has_error() && is_known && clock::now() - as_of_ < max_age) fresh = valid_after_;
  mine->end(fresh);
  co_return fresh;
}

boost::asio::awaitable<result<timestamp>> token_cut::read(async::deadline deadline) {
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(read_statement, db::params{}, options);
  if (rows.has_error()) co_return from_database(rows.error());
  if (rows->empty()) co_return missing_row();
  co_return std::max(valid_after_, rows->time(0, 0));
}

boost::asio::awaitable<result<timestamp>> token_cut::move(timestamp to, administrator by,
                                                          async::deadline deadline) {
  const auto as_of = clock::now();
  const uuid event = crypto::uuid_v7(to);
  const auto make = [&] {
    db::params values;
    values.add(to).add(uuid{}).add(event);
    detail::add_or_null(values, by.place.ip);
    detail::add_or_null(values, by.place.request_id);
    detail::add_or_null(values, by.actor);
    return values;
  };
  const db::call_options options{deadline};
  auto rows = co_await detail::execute_with_partitions(database_, move_statement, make, options);
  if (rows.has_error()) co_return from_database(rows.error());
  if (rows->empty()) co_return missing_row();
  learn(rows->time(0, 0), as_of);
  co_return valid_after_;
}

// Answers may overtake each other; the row only ever moves forward.
void token_cut::learn(timestamp valid_after, clock::time_point as_of) {
  valid_after_ = std::max(valid_after_, valid_after);
  as_of_ = std::max(as_of_, as_of);
}

std::span<const db::statement* const> token_cut::statements() {
  return all_statements;
}

timestamp session_start(const uuid& session) {
  std::uint64_t milliseconds = 0;
  for (std::size_t i = 0; i < 6; ++i) milliseconds = milliseconds << 8 | session.data[i];
  return timestamp{std::chrono::milliseconds{milliseconds}};
}

}  // namespace pam::auth
