#include "bench/durable_refresh/ours.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <exception>
#include <random>
#include <stdexcept>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "async/gate.hpp"
#include "db/database.hpp"

namespace pam::bench {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

namespace {

// The hot statement of the product. The generation is compared by >=, since the reference cannot know it.
constexpr db::statement refresh{
    "UPDATE sessions SET refresh_token = $4, generation = generation + 1,"
    " refreshed_at = greatest(refreshed_at, $7), repeats = 0, expires_at = least($6, absolute_expires_at)"
    " WHERE account_id = $1 AND id = $2 AND refresh_token = $3 AND generation >= $5"
    " AND revoked_at IS NULL AND expires_at > $7 AND EXISTS (SELECT 1 FROM accounts a WHERE a.id = $1"
    " AND a.deleted_at IS NULL AND (a.banned_until IS NULL OR a.banned_until <= $7))"
    " RETURNING generation, expires_at",
    db::types(db::pg_type::uuid, db::pg_type::uuid, db::pg_type::bytea, db::pg_type::bytea, db::pg_type::int4,
              db::pg_type::timestamptz, db::pg_type::timestamptz),
    {.rank = db::lock_rank::session, .conflict_key = 1}};
constexpr std::array<const db::statement*, 1> catalogue{&refresh};

db::params parameters_of(std::int64_t session) {
  static constexpr auto token = [] {
    std::array<std::byte, 32> bytes{};
    bytes.fill(std::byte{0x5a});
    return bytes;
  }();
  const auto now = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  db::params values;
  values.add(id_of(account_of(session))).add(id_of(session));
  values.add(std::span<const std::byte>{token}).add(std::span<const std::byte>{token});
  values.add(std::int32_t{0}).add(db::timestamp{now + std::chrono::days{30}}).add(db::timestamp{now});
  return values;
}

struct run {
  const plan& how;
  db::database& database;
  clock::time_point end;
  std::vector<std::chrono::nanoseconds> latencies;
  std::string failure;
};

asio::awaitable<void> call_until_the_end(run& on, std::uint64_t seed, async::gate::pass /*inside*/) {
  std::mt19937_64 random{seed};
  std::uniform_int_distribution<std::int64_t> any{0, on.how.sessions - 1};
  while (on.failure.empty()) {
    const auto sent = clock::now();
    if (sent >= on.end) break;
    db::call_options options;
    options.deadline = sent + std::chrono::seconds{10};
    const auto got = co_await on.database.execute(refresh, parameters_of(any(random)), options);
    if (got.has_error()) {
      on.failure = got.error().detail;
    } else if (got->size() != 1) {
      on.failure = "a refresh matched no row";
    }
    on.latencies.push_back(clock::now() - sent);
  }
}

db::config config_of(const plan& how, bool through_pooler) {
  db::config settings;
  db::endpoint where;
  where.host = how.socket_dir;
  where.port = through_pooler ? how.pgbouncer_port : how.postgres_port;
  settings.hosts = {where};
  settings.database = how.database;
  settings.user = user_of(how, through_pooler);
  settings.pipelines = how.pipelines;
  return settings;
}

std::chrono::microseconds percentile(std::vector<std::chrono::nanoseconds>& of, double share) {
  if (of.empty()) return {};
  const auto index = static_cast<std::ptrdiff_t>(share * static_cast<double>(of.size() - 1));
  std::nth_element(of.begin(), of.begin() + index, of.end());
  return std::chrono::duration_cast<std::chrono::microseconds>(of[static_cast<std::size_t>(index)]);
}

asio::awaitable<our_sample> sample(asio::io_context& context, const plan& how, bool through_pooler) {
  db::database database{context, config_of(how, through_pooler), catalogue};
  const auto started = co_await database.start(async::within(std::chrono::seconds{10}));
  if (started.has_error()) throw std::runtime_error(started.error().detail);
  const checkpoint_in_the_middle checkpoint{how};
  const auto begin = clock::now();
  run state{how, database, begin + std::chrono::seconds{how.seconds}, {}, {}};
  async::gate callers{context.get_executor()};
  for (std::size_t i = 0; i < how.callers; ++i) {
    asio::co_spawn(context, call_until_the_end(state, i + 1, callers.enter()), asio::detached);
  }
  co_await callers.close();
  const std::chrono::duration<double> elapsed = clock::now() - begin;
  if (!state.failure.empty()) throw std::runtime_error("refresh: " + state.failure);
  const db::statistics counted = database.stats();
  our_sample result;
  result.rate = static_cast<double>(state.latencies.size()) / elapsed.count();
  result.p50 = percentile(state.latencies, 0.50);
  result.p99 = percentile(state.latencies, 0.99);
  result.batch = static_cast<double>(counted.statements_sent) / static_cast<double>(counted.batches);
  co_await database.close(async::within(std::chrono::seconds{5}));
  co_return result;
}

}  // namespace

our_sample measure_ours(const plan& how, bool through_pooler) {
  asio::io_context context{1};
  our_sample result;
  std::exception_ptr thrown;
  auto on_end = [&](std::exception_ptr failure, our_sample value) {
    thrown = failure;
    result = value;
  };
  asio::co_spawn(context, sample(context, how, through_pooler), on_end);
  context.run();
  if (thrown) std::rethrow_exception(thrown);
  return result;
}

}  // namespace pam::bench
