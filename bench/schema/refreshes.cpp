#include "bench/schema/refreshes.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <stdexcept>
#include <unordered_set>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "async/gate.hpp"
#include "async/tuple_await.hpp"
#include "db/database.hpp"
#include "server/auth/statements.hpp"

namespace pam::bench {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

namespace {

/// The rotation, found by what only it does.
const db::statement& rotation() {
  for (const db::statement* each : auth::statement_catalogue())
    if (each->sql.find("generation = sessions.generation + 1") != std::string_view::npos) return *each;
  throw std::runtime_error("the catalogue has no rotation");
}

boost::uuids::uuid with_number(boost::uuids::uuid id, std::int64_t number) {
  for (std::size_t i = 16; i-- > 10; number >>= 8) id.data[i] = static_cast<std::uint8_t>(number & 0xff);
  return id;
}

struct state {
  db::database& database;
  const db::statement& what;
  std::vector<boost::uuids::uuid> floors;                       ///< of the days, by n % 100
  std::unordered_map<std::int64_t, std::int32_t>& generations;  ///< of sessions that were refreshed before
  std::unordered_set<std::int64_t> under_way;
  std::vector<std::chrono::nanoseconds> latencies;
  std::string failure;
};

asio::awaitable<void> one(state& on, std::int64_t number, async::gate::pass /*inside*/) {
  static constexpr auto token = [] {
    std::array<std::byte, 32> bytes{};
    bytes.fill(std::byte{0x5a});
    return bytes;
  }();
  boost::uuids::uuid account{};
  account.data[6] = 0x70;
  account.data[8] = 0x80;
  boost::uuids::uuid session = on.floors[static_cast<std::size_t>(number % 100)];
  session.data[6] = 0x70;
  session.data[8] = 0x80;
  const auto sent = clock::now();
  const auto now = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  db::params values;
  values.add(with_number(account, number / 4)).add(with_number(session, number));
  values.add(std::span<const std::byte>{token}).add(std::span<const std::byte>{token});
  values.add(on.generations[number]).add(db::timestamp{now + std::chrono::days{30}}).add(db::timestamp{now});
  const db::call_options options{sent + std::chrono::seconds{30}};
  const auto got = co_await on.database.execute(on.what, std::move(values), options);
  on.latencies.push_back(clock::now() - sent);
  on.under_way.erase(number);
  ++on.generations[number];
  if (got.has_error()) {
    on.failure = got.error().detail;
  } else if (got->size() != 1 && on.failure.empty()) {
    on.failure = "a refresh matched no row";
  }
}

asio::awaitable<void> arrive(asio::io_context& context, state& on, async::gate& all, const arrival& coming) {
  std::mt19937_64 random{7};
  std::uniform_int_distribution<std::int64_t> any{0, coming.sessions - 1};
  asio::steady_timer timer{context};
  const auto begin = clock::now();
  const auto gap = std::chrono::nanoseconds{std::chrono::seconds{1}} / coming.rate;
  for (std::int64_t i = 0; i * gap < coming.length && on.failure.empty(); ++i) {
    timer.expires_at(begin + i * gap);
    co_await timer.async_wait(async::tuple_await);
    std::int64_t number = any(random);
    while (!on.under_way.insert(number).second) number = any(random);
    asio::co_spawn(context, one(on, number, all.enter()), asio::detached);
  }
  co_await all.close();
}

std::chrono::microseconds percentile(std::vector<std::chrono::nanoseconds>& of, double share) {
  if (of.empty()) return {};
  const auto index = static_cast<std::ptrdiff_t>(share * static_cast<double>(of.size() - 1));
  std::nth_element(of.begin(), of.begin() + index, of.end());
  return std::chrono::duration_cast<std::chrono::microseconds>(of[static_cast<std::size_t>(index)]);
}

std::vector<boost::uuids::uuid> day_floors(const db::admin_settings& where, const filled& how) {
  auto on = open(where, how.database);
  const auto found = on.query(
      "SELECT replace(uuid7_floor(day - n * interval '1 day')::text, '-', '') FROM bench_fill, "
      "generate_series(0, 99) n ORDER BY n");
  if (found.has_error()) throw std::runtime_error(found.error().detail);
  std::vector<boost::uuids::uuid> floors;
  for (const db::text_row& row : found->values) {
    boost::uuids::uuid id{};
    for (std::size_t i = 0; i < 16; ++i)
      id.data[i] = static_cast<std::uint8_t>(std::stoi(row[0]->substr(2 * i, 2), nullptr, 16));
    floors.push_back(id);
  }
  return floors;
}

}  // namespace

std::unordered_map<std::int64_t, std::int32_t> refreshed_before(const db::admin_settings& where,
                                                                const filled& how) {
  auto on = open(where, how.database);
  const auto found = on.query(
      "SELECT ('x' || right(id::text, 12))::bit(48)::bigint, generation FROM sessions WHERE generation > 0");
  if (found.has_error()) throw std::runtime_error(found.error().detail);
  std::unordered_map<std::int64_t, std::int32_t> generations;
  for (const db::text_row& row : found->values) generations.emplace(std::stoll(*row[0]), std::stoi(*row[1]));
  return generations;
}

sample refresh(const db::admin_settings& where, const filled& how, const arrival& coming,
               std::unordered_map<std::int64_t, std::int32_t>& generations) {
  asio::io_context context{1};
  const std::vector<const db::statement*> catalogue{&rotation()};
  db::config settings;
  db::endpoint primary;
  primary.host = where.host;
  primary.port = where.port;
  settings.hosts = {primary};
  settings.database = how.database;
  settings.user = "pam_app";
  settings.mode = db::pooler_mode::direct;
  db::database database{context, settings, catalogue};
  state on{database, rotation(), day_floors(where, how), generations, {}, {}, {}};
  async::gate all{context.get_executor()};
  asio::co_spawn(
      context,
      [](asio::io_context& in, db::database& with, state& of, async::gate& gate,
         const arrival& come) -> asio::awaitable<void> {
        const auto started = co_await with.start(async::within(std::chrono::seconds{10}));
        if (started.has_error()) {
          of.failure = started.error().detail;
          co_return;
        }
        co_await arrive(in, of, gate, come);
        co_await with.close(async::within(std::chrono::seconds{5}));
      }(context, database, on, all, coming),
      asio::detached);
  context.run();
  if (!on.failure.empty()) throw std::runtime_error("refresh: " + on.failure);
  return {.refreshes = static_cast<std::int64_t>(on.latencies.size()),
          .p50 = percentile(on.latencies, 0.5),
          .p99 = percentile(on.latencies, 0.99)};
}

}  // namespace pam::bench
