// The parts a refresh is made of, each alone: what `bench net` compares the whole with. One JSON line each.
//
//   net_parts sign     ES256 signatures of an access token's claims
//   net_parts hash     Argon2id by libsodium alone, 19 MiB and 2 passes, on some threads
//   net_parts update   the refresh UPDATE through db::database, 64 callers
//   net_parts requests  a request of each of some seeded users, as net_client takes them
#include <sodium.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "async/gate.hpp"
#include "db/database.hpp"
#include "load-tests/swarm/population.hpp"
#include "load-tests/swarm/tally.hpp"
#include "server/crypto/key_ring.hpp"

namespace pam::bench {
namespace {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

struct plan {
  std::string keys;
  std::string line;  ///< of the requests
  std::string host;
  std::string database = "auth_rw";
  std::string user = "pam_app";
  std::uint16_t port = 0;
  std::int64_t epoch = 0;
  std::uint32_t first = 0;
  std::uint32_t users = 0;
  std::size_t callers = 64;
  unsigned threads = 1;
  double seconds = 2;
};

clock::time_point end_of(const plan& how) {
  return clock::now() +
         std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(how.seconds));
}

void report(std::uint64_t done, std::chrono::microseconds cpu, std::chrono::duration<double> took) {
  fmt::print("{{\"count\":{},\"seconds\":{:.4f},\"cpu_seconds\":{:.6f}}}\n", done, took.count(),
             std::chrono::duration<double>(cpu).count());
}

void sign(const plan& how) {
  const crypto::key_ring keys = crypto::key_ring::load(how.keys).value();
  const std::string claims(700, 'x');
  const auto began = clock::now();
  const auto cpu = load::cpu_time();
  std::uint64_t done = 0;
  for (const auto end = end_of(how); clock::now() < end; ++done) {
    if (keys.sign(crypto::key_use::user, claims).has_error()) throw std::runtime_error("signing failed");
  }
  report(done, load::cpu_time() - cpu, clock::now() - began);
}

void hash(const plan& how) {
  if (sodium_init() < 0) throw std::runtime_error("sodium_init failed");
  std::atomic<std::uint64_t> done{0};
  const auto began = clock::now();
  const auto cpu = load::cpu_time();
  const auto end = end_of(how);
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < how.threads; ++i) {
    workers.emplace_back([&] {
      std::array<char, crypto_pwhash_STRBYTES> text;
      constexpr char password[] = "correct horse battery";
      while (clock::now() < end) {
        if (crypto_pwhash_str_alg(text.data(), password, sizeof(password) - 1, 2, 19U * 1024 * 1024,
                                  crypto_pwhash_ALG_ARGON2ID13) == 0) {
          ++done;
        }
      }
    });
  }
  workers.clear();
  report(done, load::cpu_time() - cpu, clock::now() - began);
}

// The product's statement, less what it returns for the token. The generation is compared by >=: the same
// row is refreshed again and again.
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

struct row {
  boost::uuids::uuid account;
  boost::uuids::uuid session;
  crypto::refresh_token_hash hash;
};

struct updates {
  const std::vector<row>& rows;
  db::database& database;
  clock::time_point end;
  std::uint64_t done = 0;
  std::string failure;
};

asio::awaitable<void> call_until_the_end(updates& on, std::uint64_t seed, async::gate::pass /*inside*/) {
  std::mt19937_64 random{seed};
  std::uniform_int_distribution<std::size_t> any{0, on.rows.size() - 1};
  while (on.failure.empty() && clock::now() < on.end) {
    const row& of = on.rows[any(random)];
    const auto now =
        std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    db::params values;
    values.add(of.account).add(of.session);
    values.add(std::span<const std::byte>{of.hash}).add(std::span<const std::byte>{of.hash});
    values.add(std::int32_t{0}).add(db::timestamp{now + std::chrono::days{30}}).add(db::timestamp{now});
    db::call_options options;
    options.deadline = clock::now() + std::chrono::seconds{10};
    const auto got = co_await on.database.execute(refresh, std::move(values), options);
    if (got.has_error()) {
      on.failure = got.error().detail;
    } else if (got->size() != 1) {
      on.failure = "a refresh matched no row";
    }
    ++on.done;
  }
}

asio::awaitable<void> drive(asio::io_context& context, const plan& how, const std::vector<row>& rows) {
  db::config settings;
  db::endpoint where;
  where.host = how.host;
  where.port = how.port;
  settings.hosts = {where};
  settings.database = how.database;
  settings.user = how.user;
  db::database database{context, settings, catalogue};
  const auto started = co_await database.start(async::within(std::chrono::seconds{10}));
  if (started.has_error()) throw std::runtime_error(started.error().detail);
  const auto began = clock::now();
  const auto cpu = load::cpu_time();
  updates state{rows, database, end_of(how), 0, {}};
  async::gate callers{context.get_executor()};
  for (std::size_t i = 0; i < how.callers; ++i) {
    asio::co_spawn(context, call_until_the_end(state, i + 1, callers.enter()), asio::detached);
  }
  co_await callers.close();
  if (!state.failure.empty()) throw std::runtime_error("refresh: " + state.failure);
  report(state.done, load::cpu_time() - cpu, clock::now() - began);
  co_await database.close(async::within(std::chrono::seconds{5}));
}

void update(const plan& how) {
  const crypto::key_ring keys = crypto::key_ring::load(how.keys).value();
  const load::population people(std::chrono::milliseconds{how.epoch}, keys, "https://localhost:8443/auth/v1");
  std::vector<row> rows;
  for (std::uint32_t i = 0; i < how.users; ++i) {
    const load::seat who = people.at(i);
    rows.push_back({who.account, who.session, crypto::hash_of(people.first_token(who))});
  }
  asio::io_context context{1};
  std::exception_ptr thrown;
  asio::co_spawn(context, drive(context, how, rows), [&](std::exception_ptr failure) { thrown = failure; });
  context.run();
  if (thrown) std::rethrow_exception(thrown);
}

void requests(const plan& how) {
  const crypto::key_ring keys = crypto::key_ring::load(how.keys).value();
  const load::population people(std::chrono::milliseconds{how.epoch}, keys, "https://localhost:8443/auth/v1");
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
  for (std::uint32_t i = 0; i < how.users; ++i) {
    fmt::print("{}{} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nAuthorization: Bearer {}\r\n\r\n",
               std::string_view("\0", i == 0 ? 0 : 1), how.line,
               people.access_token(people.at(how.first + i), now, std::chrono::hours{1}));
  }
}

}  // namespace
}  // namespace pam::bench

int main(int argc, char** argv) {
  pam::bench::plan how;
  CLI::App app{"The parts of a refresh, each alone"};
  app.require_subcommand(1);
  app.add_option("--seconds", how.seconds);
  CLI::App* const sign = app.add_subcommand("sign", "ES256 signatures");
  sign->add_option("--keys", how.keys)->required();
  CLI::App* const hash = app.add_subcommand("hash", "Argon2id by libsodium");
  hash->add_option("--threads", how.threads);
  CLI::App* const update =
      app.add_subcommand("update", "the refresh UPDATE; leaves the rows' generations changed");
  update->add_option("--keys", how.keys)->required();
  update->add_option("--epoch", how.epoch)->required();
  update->add_option("--users", how.users)->required();
  update->add_option("--host", how.host)->required();
  update->add_option("--port", how.port)->required();
  update->add_option("--database", how.database);
  CLI::App* const requests = app.add_subcommand("requests", "one of each user, separated by NUL");
  requests->add_option("line", how.line, "method and path")->required();
  requests->add_option("--keys", how.keys)->required();
  requests->add_option("--epoch", how.epoch)->required();
  requests->add_option("--first", how.first);
  requests->add_option("--users", how.users)->required();
  CLI11_PARSE(app, argc, argv);
  try {
    if (requests->parsed()) pam::bench::requests(how);
    if (sign->parsed()) pam::bench::sign(how);
    if (hash->parsed()) pam::bench::hash(how);
    if (update->parsed()) pam::bench::update(how);
  } catch (const std::exception& failure) {
    std::fputs(fmt::format("net_parts: {}\n", failure.what()).c_str(), stderr);
    return 1;
  }
  return 0;
}
