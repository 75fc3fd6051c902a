#include "db/detail/pooler_probe.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <string>

#include "db/params.hpp"
#include "db/rows.hpp"
#include "db/statement.hpp"

namespace pam::db::detail {

namespace asio = boost::asio;

namespace {

constexpr int first_version_that_tracks_pipelines = 1021;

constexpr statement who_are_you{
    "SELECT pg_catalog.pg_backend_pid(),"
    " pg_catalog.pg_is_in_recovery() OR pg_catalog.current_setting('transaction_read_only') = 'on',"
    " EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus')",
    types(),
    {}};

constexpr statement echo{"SELECT $1", types(pg_type::int8), {}};

constexpr std::int64_t batches_per_proof = 8;
constexpr std::int64_t statements_per_batch = 2;

bool send_echo(PGconn* connection, bool is_named, std::int64_t value) {
  params values;
  values.add(value);
  const char* const data = values.value(0).data();
  const int length = sizeof value;
  const int format = 1;
  if (is_named) return PQsendQueryPrepared(connection, echo.name.c_str(), 1, &data, &length, &format, 1) == 1;
  const Oid type = static_cast<Oid>(pg_type::int8);
  return PQsendQueryParams(connection, echo.sql.data(), 1, &type, &data, &length, &format, 1) == 1;
}

// Reads up to the next result that is none of the NULLs between statements.
asio::awaitable<pg_result_ptr> next_result(pg_session& session, async::deadline until) {
  for (int nulls = 0; nulls < 3; ++nulls) {
    pg_session::answer got = co_await session.next(until);
    if (!got.is_alive) break;
    if (got.result) co_return std::move(got.result);
  }
  co_return pg_result_ptr{};
}

// Nothing in time, or a lost connection, says nothing about the mode.
asio::awaitable<proof> expect(pg_session& session, ExecStatusType status, async::deadline until) {
  const pg_result_ptr got = co_await next_result(session, until);
  if (!got) co_return proof::no_answer;
  co_return PQresultStatus(got.get()) == status ? proof::holds : proof::fails;
}

asio::awaitable<proof> expect_batch(pg_session& session, std::int64_t first_value, async::deadline until) {
  for (std::int64_t i = 0; i < statements_per_batch; ++i) {
    pg_result_ptr got = co_await next_result(session, until);
    if (!got) co_return proof::no_answer;
    if (PQresultStatus(got.get()) != PGRES_TUPLES_OK) co_return proof::fails;
    const rows answer{got.release()};
    if (answer.size() != 1 || answer.int8(0, 0) != first_value + i) co_return proof::fails;
  }
  co_return co_await expect(session, PGRES_PIPELINE_SYNC, until);
}

}  // namespace

int parse_pooler_version(std::string_view text) {
  constexpr std::string_view brand = "PgBouncer ";
  if (!text.starts_with(brand)) return 0;
  text.remove_prefix(brand.size());
  int major = 0;
  int minor = 0;
  const auto dot = std::from_chars(text.data(), text.data() + text.size(), major);
  if (dot.ec != std::errc{} || dot.ptr == text.data() + text.size() || *dot.ptr != '.') return 0;
  const auto end = std::from_chars(dot.ptr + 1, text.data() + text.size(), minor);
  if (end.ec != std::errc{} || major < 0 || major > 99 || minor < 0 || minor > 999) return 0;
  return major * 1000 + minor;
}

pooler_mode choose_mode(pooler_mode wanted, const server_facts& server, const pooler_facts& pooler,
                        std::size_t catalogue_size) {
  // With room for fewer names than we have it would close and parse them all the time, if any at all.
  const bool has_names = pooler.version >= first_version_that_tracks_pipelines &&
                         pooler.max_prepared_statements > static_cast<long>(catalogue_size);
  const bool has_answered = pooler.version != 0;
  switch (wanted) {
    case pooler_mode::pgbouncer_safe:
      return pooler_mode::pgbouncer_safe;
    case pooler_mode::direct:
      return server.is_direct ? pooler_mode::direct : pooler_mode::pgbouncer_safe;
    case pooler_mode::pgbouncer_named:
      return has_answered && !has_names ? pooler_mode::pgbouncer_safe : pooler_mode::pgbouncer_named;
    case pooler_mode::automatic:
      break;
  }
  if (server.is_direct) return pooler_mode::direct;
  return has_names ? pooler_mode::pgbouncer_named : pooler_mode::pgbouncer_safe;
}

asio::awaitable<result<server_facts>> ask_server(pg_session& session, async::deadline until) {
  const params nothing;
  auto got = co_await session.run(who_are_you, nothing, until);
  if (got.has_error()) co_return got.error();
  if (PQresultStatus(got->get()) != PGRES_TUPLES_OK) co_return error_of(got->get());
  const rows answer{got->release()};
  server_facts facts;
  facts.is_direct = answer.int4(0, 0) == PQbackendPID(session.get());
  facts.is_read_only = answer.boolean(0, 1);
  facts.is_citus = answer.boolean(0, 2);
  facts.version = PQserverVersion(session.get());
  co_return facts;
}

asio::awaitable<pooler_facts> ask_console(asio::io_context& context, stop_list& stops, const config& settings,
                                          const endpoint& where, async::deadline until) {
  pooler_facts facts;
  const auto console =
      co_await connect_session(context, stops, settings, where, settings.admin_database, until);
  if (console.has_error()) co_return facts;
  const auto version = co_await (*console)->run_simple("SHOW VERSION", until);
  if (version.has_error() || PQntuples(version->get()) != 1) co_return facts;
  facts.version = parse_pooler_version(PQgetvalue(version->get(), 0, 0));
  if (facts.version < first_version_that_tracks_pipelines) co_return facts;
  const auto all = co_await (*console)->run_simple("SHOW CONFIG", until);
  if (all.has_error() || PQnfields(all->get()) < 2) co_return facts;
  for (int i = 0; i < PQntuples(all->get()); ++i) {
    if (std::string_view{PQgetvalue(all->get(), i, 0)} != "max_prepared_statements") continue;
    const std::string_view value{PQgetvalue(all->get(), i, 1)};
    std::from_chars(value.data(), value.data() + value.size(), facts.max_prepared_statements);
  }
  co_return facts;
}

asio::awaitable<proof> prove_mode(pg_session& session, pooler_mode mode, async::deadline until) {
  const bool is_named = mode != pooler_mode::pgbouncer_safe;
  PGconn* const connection = session.get();
  if (is_named) {
    const Oid type = static_cast<Oid>(pg_type::int8);
    if (PQsendPrepare(connection, echo.name.c_str(), echo.sql.data(), 1, &type) != 1)
      co_return proof::no_answer;
    if (PQpipelineSync(connection) != 1) co_return proof::no_answer;
    if (!co_await session.flush(until)) co_return proof::no_answer;
    constexpr std::array expected{PGRES_COMMAND_OK, PGRES_PIPELINE_SYNC};
    for (const ExecStatusType status : expected) {
      const proof got = co_await expect(session, status, until);
      if (got != proof::holds) co_return got;
    }
  }
  // Values nobody else sends at the same moment: the address differs by connection, the number by batch.
  const std::int64_t base = static_cast<std::int64_t>(PQbackendPID(connection)) << 20;
  const std::int64_t at_once = is_named ? batches_per_proof : 1;
  for (std::int64_t done = 0; done < batches_per_proof; done += at_once) {
    for (std::int64_t b = done; b < done + at_once; ++b) {
      for (std::int64_t i = 0; i < statements_per_batch; ++i) {
        if (!send_echo(connection, is_named, base + b * statements_per_batch + i)) co_return proof::no_answer;
      }
      if (PQpipelineSync(connection) != 1) co_return proof::no_answer;
    }
    if (!co_await session.flush(until)) co_return proof::no_answer;
    for (std::int64_t b = done; b < done + at_once; ++b) {
      const proof got = co_await expect_batch(session, base + b * statements_per_batch, until);
      if (got != proof::holds) co_return got;
    }
  }
  co_return proof::holds;
}

}  // namespace pam::db::detail
