#include "db/detail/pooler_probe.hpp"

#include <array>
#include <memory>

#include "db/tests/pg_fixture.hpp"

namespace pam::db::detail {
namespace {

using namespace db::testing;

TEST(pooler_probe_pg, a_proof_that_gets_no_answer_in_time_does_not_speak_against_the_mode) {
  const scratch_database scratch;
  const config settings = config_for(ways[0], scratch.name());
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    stop_list stops;
    constexpr std::array modes{pooler_mode::direct, pooler_mode::pgbouncer_safe};
    for (const pooler_mode mode : modes) {
      const auto late = co_await connect_session(context, stops, settings, settings.hosts.front(),
                                                 settings.database, async::within(5s));
      const auto prompt = co_await connect_session(context, stops, settings, settings.hosts.front(),
                                                   settings.database, async::within(5s));
      PQenterPipelineMode((*late)->get());
      PQenterPipelineMode((*prompt)->get());
      PQsendQueryParams((*late)->get(), "SELECT pg_sleep(1)", 0, nullptr, nullptr, nullptr, nullptr, 1);

      const proof in_vain = co_await prove_mode(**late, mode, async::within(30ms));
      const proof in_time = co_await prove_mode(**prompt, mode, async::within(5s));

      EXPECT_EQ(in_vain, proof::no_answer);
      EXPECT_EQ(in_time, proof::holds);
    }
  });
}

TEST(pg_session_pg, a_server_with_a_certificate_of_strangers_is_not_spoken_to) {
  const scratch_database scratch;
  config settings = config_for(direct_tls, scratch.name());
  settings.sslrootcert = "/etc/ssl/certs/ca-certificates.crt";
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    stop_list stops;

    const auto refused = co_await connect_session(context, stops, settings, settings.hosts.front(),
                                                  settings.database, async::within(10s));

    EXPECT_EQ(refused.error().code, errc::unavailable);
    EXPECT_NE(refused.error().detail.find("certificate verify failed"), std::string::npos)
        << refused.error().detail;
  });
}

}  // namespace
}  // namespace pam::db::detail
