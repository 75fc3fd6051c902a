#include "bench/database/load.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <libpq-fe.h>
#include <malloc.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "async/gate.hpp"
#include "async/tuple_await.hpp"
#include "bench/database/mallocs.hpp"
#include "bench/database/process_cost.hpp"
#include "bench/protocol/allocations.hpp"
#include "db/database.hpp"

namespace pam::bench {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds patience{10};

db::config config_of(const plan& how, const route& way) {
  db::config settings;
  db::endpoint where;
  where.host = how.socket_dir;
  where.port = how.*way.port;
  settings.hosts = {where};
  settings.database = how.database;
  settings.user = way.user;
  settings.mode = way.mode;
  settings.pipelines = how.pipelines;
  settings.batch_limit = how.batch;
  settings.batches_in_flight = how.batches_in_flight;
  // In an open loop whoever waits shall show in the latencies, not be refused.
  settings.queue_limit = 1'000'000;
  return settings;
}

struct running {
  const load& what;
  db::database& database;
  std::vector<std::chrono::nanoseconds> latencies;
  std::string failure;
};

class any_session {
 public:
  any_session(std::int64_t sessions, std::uint64_t seed) : random_(seed), any_(0, sessions - 1) {}
  std::int64_t operator()() { return any_(random_); }

 private:
  std::mt19937_64 random_;
  std::uniform_int_distribution<std::int64_t> any_;
};

asio::awaitable<void> call(running& on, std::int64_t session, clock::time_point due) {
  db::call_options options;
  options.deadline = due + patience;
  const auto got =
      co_await on.database.execute(*on.what.statement.what, on.what.statement.parameters(session), options);
  if (got.has_error()) {
    on.failure = got.error().detail;
  } else if (got->empty()) {
    on.failure = "a statement matched no row";
  }
  on.latencies.push_back(clock::now() - due);
}

asio::awaitable<void> call_until(running& on, clock::time_point end, std::uint64_t seed,
                                 async::gate::pass /*inside*/) {
  any_session pick{on.what.how.sessions, seed};
  while (on.failure.empty()) {
    const auto now = clock::now();
    if (now >= end) break;
    co_await call(on, pick(), now);
  }
}

asio::awaitable<void> call_once(running& on, std::int64_t session, clock::time_point due,
                                async::gate::pass /*inside*/) {
  co_await call(on, session, due);
}

asio::awaitable<void> keep_calling(asio::io_context& context, running& on, std::size_t callers) {
  const auto end = clock::now() + on.what.length;
  async::gate all{context.get_executor()};
  for (std::size_t i = 0; i < callers; ++i) {
    asio::co_spawn(context, call_until(on, end, i + 1, all.enter()), asio::detached);
  }
  co_await all.close();
}

asio::awaitable<void> keep_arriving(asio::io_context& context, running& on, double rate) {
  const auto begin = clock::now();
  const auto count = static_cast<std::size_t>(rate * std::chrono::duration<double>(on.what.length).count());
  any_session pick{on.what.how.sessions, 1};
  async::gate all{context.get_executor()};
  asio::steady_timer timer{context};
  for (std::size_t i = 0; i < count && on.failure.empty(); ++i) {
    const std::chrono::duration<double> offset{static_cast<double>(i) / rate};
    const auto due = begin + std::chrono::duration_cast<clock::duration>(offset);
    if (due > clock::now()) {
      timer.expires_at(due);
      co_await timer.async_wait(async::tuple_await);
    }
    asio::co_spawn(context, call_once(on, pick(), due, all.enter()), asio::detached);
  }
  co_await all.close();
}

asio::awaitable<void> call_while_any(running& on, std::size_t& left, std::uint64_t seed,
                                     async::gate::pass /*inside*/) {
  any_session pick{on.what.how.sessions, seed};
  while (on.failure.empty() && left != 0) {
    --left;
    co_await call(on, pick(), clock::now());
  }
}

asio::awaitable<void> call_counted(asio::io_context& context, running& on, std::size_t callers,
                                   std::size_t statements) {
  async::gate all{context.get_executor()};
  std::size_t left = statements;
  for (std::size_t i = 0; i < callers; ++i) {
    asio::co_spawn(context, call_while_any(on, left, i + 1, all.enter()), asio::detached);
  }
  co_await all.close();
}

double heap_bytes() {
  const struct mallinfo2 heap = ::mallinfo2();
  return static_cast<double>(heap.uordblks + heap.hblkhd);
}

asio::awaitable<void> weigh(asio::io_context& context, running& on, std::size_t callers,
                            std::size_t statements, memory_sample& into) {
  on.latencies.reserve(2 * statements);
  co_await call_counted(context, on, callers, statements / 10);
  const double bytes = heap_bytes();
  const std::uint64_t allocated = allocations();
  const malloc_count all = mallocs();
  co_await call_counted(context, on, callers, statements);
  const auto each = [statements](std::uint64_t now, std::uint64_t before) {
    return static_cast<double>(now - before) / static_cast<double>(statements);
  };
  into.all_allocations = each(mallocs().calls, all.calls);
  into.all_bytes = each(mallocs().bytes, all.bytes);
  into.allocations = each(allocations(), allocated);
  into.growth_bytes = heap_bytes() - bytes;
}

template <class Drive>
asio::awaitable<our_sample> sample(asio::io_context& context, const load& what, Drive drive) {
  std::vector<const db::statement*> catalogue{what.statement.what.get()};
  if (const auto* const several = catalogue.front()->opts.together) catalogue.push_back(several);
  db::database database{context, config_of(what.how, what.way), catalogue};
  const auto started = co_await database.start(async::within(patience));
  if (started.has_error()) throw std::runtime_error(started.error().detail);
  // Every connection, not only the first: `start` returns with one.
  asio::steady_timer timer{context};
  for (const auto until = async::within(patience); database.stats().connections_ready < what.how.pipelines;) {
    if (async::has_passed(until)) throw std::runtime_error("not every pipeline connected");
    timer.expires_after(std::chrono::milliseconds{1});
    co_await timer.async_wait(async::tuple_await);
  }
  running state{what, database, {}, {}};
  our_sample result;
  {
    plan with_checkpoint = what.how;
    with_checkpoint.has_checkpoint = what.has_checkpoint;
    checkpoint_in_the_middle checkpoint{with_checkpoint};
    const double own = own_cpu_seconds();
    const double theirs = postgres_cpu_seconds(what.how.data_dir);
    const auto begin = clock::now();
    co_await drive(context, state);
    const std::chrono::duration<double> elapsed = clock::now() - begin;
    const auto count = static_cast<double>(state.latencies.size());
    result.rate = count / elapsed.count();
    result.own_cpu_us = (own_cpu_seconds() - own) * 1e6 / count;
    result.postgres_cpu_us = (postgres_cpu_seconds(what.how.data_dir) - theirs) * 1e6 / count;
    checkpoint.finish();
  }
  if (!state.failure.empty()) throw std::runtime_error("statement failed: " + state.failure);
  const db::statistics counted = database.stats();
  result.batch = static_cast<double>(counted.statements_sent) / static_cast<double>(counted.batches);
  result.latencies = std::move(state.latencies);
  std::sort(result.latencies.begin(), result.latencies.end());
  co_await database.close(async::within(patience));
  co_return result;
}

template <class Drive>
our_sample run_sample(const load& what, Drive drive) {
  asio::io_context context{1};
  our_sample result;
  std::exception_ptr thrown;
  auto on_end = [&](const std::exception_ptr& failure, our_sample got) {
    thrown = failure;
    result = std::move(got);
  };
  asio::co_spawn(context, sample(context, what, drive), on_end);
  context.run();
  if (thrown) std::rethrow_exception(thrown);
  return result;
}

// ---- bare libpq ----

struct finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};
using connection = std::unique_ptr<PGconn, finish>;
using answer = std::unique_ptr<PGresult, finish>;

connection connect_bare(const plan& how, const route& way) {
  const std::string port = std::to_string(how.*way.port);
  const std::array<const char*, 5> keys{"host", "port", "dbname", "user", nullptr};
  const std::array<const char*, 5> values{how.socket_dir.c_str(), port.c_str(), how.database.c_str(),
                                          way.user, nullptr};
  connection opened{PQconnectdbParams(keys.data(), values.data(), 0)};
  if (PQstatus(opened.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(opened.get()));
  return opened;
}

// Microseconds.
std::int64_t three_digits(std::chrono::nanoseconds of) {
  const std::int64_t value = std::chrono::round<std::chrono::microseconds>(of).count();
  std::int64_t unit = 1;
  while (value / unit >= 1000) unit *= 10;
  return (value + unit / 2) / unit * unit;
}

answer call_bare(PGconn* on, const db::statement& what, const db::params& given, bool is_named) {
  std::array<Oid, db::max_parameters> types{};
  std::array<const char*, db::max_parameters> values{};
  std::array<int, db::max_parameters> lengths{};
  std::array<int, db::max_parameters> formats{};
  for (std::size_t i = 0; i < given.size(); ++i) {
    types[i] = static_cast<Oid>(what.parameter_types[i]);
    values[i] = given.value(i).data();
    lengths[i] = static_cast<int>(given.value(i).size());
    formats[i] = given.is_binary(i) ? 1 : 0;
  }
  const int count = static_cast<int>(given.size());
  if (is_named) {
    return answer{
        PQexecPrepared(on, what.name.c_str(), count, values.data(), lengths.data(), formats.data(), 1)};
  }
  return answer{PQexecParams(on, what.sql.data(), count, types.data(), values.data(), lengths.data(),
                             formats.data(), 1)};
}

}  // namespace

double our_sample::percentile_ms(double share) const {
  if (latencies.empty()) throw std::runtime_error("no latency was measured");
  const auto index = static_cast<std::size_t>(share * static_cast<double>(latencies.size() - 1));
  return std::chrono::duration<double, std::milli>(latencies[index]).count();
}

std::string our_sample::json() const {
  std::string text =
      fmt::format(R"({{"rate":{:.1f},"p50_ms":{:.3f},"p99_ms":{:.3f},"p99.9_ms":{:.3f},"worst_ms":{:.3f},)"
                  R"("own_cpu_us":{:.2f},"postgres_cpu_us":{:.2f},"batch":{:.2f},"histogram_us":[)",
                  rate, percentile_ms(0.50), percentile_ms(0.99), percentile_ms(0.999), percentile_ms(1),
                  own_cpu_us, postgres_cpu_us, batch);
  const char* separator = "";
  for (std::size_t i = 0; i < latencies.size();) {
    const std::int64_t value = three_digits(latencies[i]);
    const std::size_t first = i;
    while (i < latencies.size() && three_digits(latencies[i]) == value) ++i;
    text += fmt::format("{}[{},{}]", separator, value, i - first);
    separator = ",";
  }
  return text + "]}";
}

our_sample closed_loop(const load& what, std::size_t callers) {
  const auto drive = [callers](asio::io_context& context, running& on) {
    return keep_calling(context, on, callers);
  };
  return run_sample(what, drive);
}

our_sample open_loop(const load& what, double rate) {
  const auto drive = [rate](asio::io_context& context, running& on) {
    return keep_arriving(context, on, rate);
  };
  return run_sample(what, drive);
}

memory_sample run_counted(const load& what, std::size_t callers, std::size_t statements) {
  memory_sample result;
  const auto drive = [&](asio::io_context& context, running& on) {
    return weigh(context, on, callers, statements, result);
  };
  static_cast<void>(run_sample(what, drive));
  return result;
}

our_sample bare_libpq(const load& what) {
  const connection on = connect_bare(what.how, what.way);
  const db::statement& statement = *what.statement.what;
  const bool is_named = std::string_view{what.way.protocol} == "prepared";
  if (is_named) {
    const answer made{PQprepare(on.get(), statement.name.c_str(), statement.sql.data(),
                                static_cast<int>(statement.parameter_count),
                                reinterpret_cast<const Oid*>(statement.parameter_types.data()))};
    if (PQresultStatus(made.get()) != PGRES_COMMAND_OK) throw std::runtime_error(PQerrorMessage(on.get()));
  }
  any_session pick{what.how.sessions, 1};
  our_sample result;
  const double own = own_cpu_seconds();
  const auto begin = clock::now();
  for (auto now = begin; now - begin < what.length; now = clock::now()) {
    const answer got = call_bare(on.get(), statement, what.statement.parameters(pick()), is_named);
    if (PQresultStatus(got.get()) != PGRES_TUPLES_OK || PQntuples(got.get()) == 0) {
      throw std::runtime_error(std::string{"bare libpq: "} + PQerrorMessage(on.get()));
    }
    result.latencies.push_back(clock::now() - now);
  }
  const auto count = static_cast<double>(result.latencies.size());
  result.rate = count / std::chrono::duration<double>(clock::now() - begin).count();
  result.own_cpu_us = (own_cpu_seconds() - own) * 1e6 / count;
  std::sort(result.latencies.begin(), result.latencies.end());
  return result;
}

}  // namespace pam::bench
