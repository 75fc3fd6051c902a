#include "server/runtime/config.hpp"

#include <regex>

#include <gmock/gmock.h>

#include "server/runtime/config_table.hpp"
#include "server/runtime/config_values.hpp"
#include "server/runtime/tests/config_fixture.hpp"

namespace pam::runtime {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(config, an_empty_file_gives_the_documented_defaults) {
  const auto settings = good("");

  EXPECT_EQ(settings.tokens.access_lifetime, seconds{900});
  EXPECT_EQ(settings.tokens.reuse_interval, seconds{10});
  EXPECT_EQ(settings.limits.keep_alive, seconds{75});
  EXPECT_EQ(settings.password.min_length, 8U);
  EXPECT_FALSE(settings.server.is_profile_chosen);
}

// A full queue behind the door refuses after the work of a request has begun.
TEST(config, by_default_the_database_has_room_for_every_read_and_write_that_is_admitted) {
  const configuration defaults;

  EXPECT_GE(defaults.database.queue_limit, defaults.admission.read + defaults.admission.write);
}

TEST(config, the_default_text_parses_to_the_defaults) {
  EXPECT_EQ(values_of(good(default_config())), values_of(configuration{}));
}

TEST(config, the_default_text_with_every_key_enabled_parses_to_the_defaults) {
  const std::regex commented{"\n# ([a-z_]+ = )"};
  const std::string enabled = std::regex_replace(default_config(), commented, "\n$1");

  EXPECT_THAT(enabled, HasSubstr("\nconnections = 15000\n"));
  EXPECT_EQ(values_of(good(enabled)), values_of(configuration{}));
}

TEST(config, every_default_lies_in_its_own_range) {
  configuration settings;
  for (const option& each : options_of(settings)) {
    EXPECT_NE(each.meaning, "") << each.key;
    if (each.mark == option_mark::secret) continue;
    const std::string toml =
        "[" + std::string{each.section()} + "]\n" + std::string{each.name()} + " = " + format_value(each);
    EXPECT_TRUE(parse_config(toml, "pam.toml", {}).has_value()) << toml;
  }
}

TEST(config, every_key_belongs_to_a_documented_section_and_is_listed_once) {
  configuration settings;
  std::vector<std::string> keys;
  for (const option& each : options_of(settings)) {
    EXPECT_TRUE(std::any_of(config_sections().begin(), config_sections().end(), [&](const section& s) {
      return s.name == each.section();
    })) << each.key;
    keys.emplace_back(each.key);
  }
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::adjacent_find(keys.begin(), keys.end()), keys.end());
}

TEST(config, the_reference_lists_every_key_with_its_range) {
  const std::string text = config_reference_markdown();

  configuration settings;
  for (const option& each : options_of(settings)) {
    EXPECT_THAT(text, HasSubstr("| `" + std::string{each.name()} + "` |"));
  }
  EXPECT_THAT(text, HasSubstr("a duration from 3m to 1d"));
}

TEST(config, values_of_every_type_are_read) {
  const auto settings = good(R"(
[server]
shards = 3
cors_origins = ["https://a.example", "http://localhost:3000"]
[listen]
port = 443
tls = false
[limits]
body_bytes = "128KiB"
header_bytes = 8192
keep_alive = "1500ms"
[database]
hosts = ["db1:6432", "[::1]:5433", "/run/postgresql", "10.0.0.1"]
mode = "pgbouncer_safe"
[hash]
memory_kib = 65536
[tokens]
access_lifetime = "15m"
idle_lifetime = 86400
absolute_lifetime = "30d"
)");

  EXPECT_EQ(settings.server.shards, 3U);
  EXPECT_THAT(settings.server.cors_origins, ElementsAre("https://a.example", "http://localhost:3000"));
  EXPECT_EQ(settings.listen.port, 443);
  EXPECT_FALSE(settings.listen.is_tls);
  EXPECT_EQ(settings.limits.body_bytes, 128U * 1024);
  EXPECT_EQ(settings.limits.header_bytes, 8192U);
  EXPECT_EQ(settings.limits.keep_alive, milliseconds{1500});
  ASSERT_EQ(settings.database.hosts.size(), 4U);
  EXPECT_EQ(format_endpoint(settings.database.hosts[0]), "db1:6432");
  EXPECT_EQ(settings.database.hosts[1].host, "::1");
  EXPECT_EQ(settings.database.hosts[2].host, "/run/postgresql");
  EXPECT_EQ(settings.database.hosts[3].port, 5432);
  EXPECT_EQ(settings.database.mode, db::pooler_mode::pgbouncer_safe);
  EXPECT_EQ(settings.hash.memory_kib, 65'536U);
  EXPECT_EQ(settings.tokens.idle_lifetime, hours{24});
  EXPECT_EQ(settings.tokens.absolute_lifetime, hours{24 * 30});
}

TEST(config, the_profile_changes_defaults_but_not_explicit_values) {
  const auto plain = good("[server]\nprofile = \"strict\"\n");
  EXPECT_EQ(plain.tokens.reuse_interval, seconds{0});
  EXPECT_EQ(plain.tokens.lost_response_window, seconds{0});
  EXPECT_TRUE(plain.password.require_current);
  EXPECT_THAT(plain.server.cors_origins, IsEmpty());
  EXPECT_TRUE(plain.server.is_profile_chosen);
  EXPECT_THAT(departures_from_profile(plain), IsEmpty());

  // The profile comes last here and from the environment: the order of writing does not matter.
  const auto kept = good("[tokens]\nlost_response_window = \"2m\"\nreuse_interval = \"5s\"\n",
                         {{"PAM_SERVER__PROFILE", "strict"}});
  EXPECT_EQ(kept.tokens.reuse_interval, seconds{5});
  EXPECT_EQ(kept.tokens.lost_response_window, minutes{2});
  EXPECT_THAT(departures_from_profile(kept),
              ElementsAre("tokens.reuse_interval = \"5s\"", "tokens.lost_response_window = \"2m\""));
}

TEST(config, rules_between_keys_are_checked) {
  const std::vector<refused_case> cases{
      {"[tokens]\nidle_lifetime = \"91d\"",
       "tokens.idle_lifetime (91d) must not exceed tokens.absolute_lifetime (90d)"},
      {"[tokens]\naccess_lifetime = \"10m\"\nidle_lifetime = \"5m\"",
       "tokens.access_lifetime (10m) must not exceed"},
      {"[tokens]\nlost_response_window = \"5s\"", "tokens.reuse_interval (10s) must not exceed"},
      {"[tokens]\nrole = \"service_role\"", "every user would be an administrator"},
      {"[tokens]\nrole = \"supabase_admin\"\nadmin_roles = [\"root\"]",
       "every user would be an administrator"},
      {"[tokens]\nrole = \"root\"\nadmin_roles = [\"root\"]", "every user would be an administrator"},
      {"[tokens]\nrole = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
       "must have at most 64 characters, not 65"},
      {"[tls]\ncertificate_file = \"a.pem\"", "must be given together"},
      {"[tls]\nprivate_key_file = \"a.pem\"", "must be given together"},
      {"[listen]\nport = 9443", "must not share the port 9443"},
      {"[server]\ndrain_timeout = \"5s\"", "limits.request (10s) must not exceed server.drain_timeout (5s)"},
      {"[hash]\nprocesses = 3\n[server]\nprocesses = 2",
       "hash.processes (3) must not exceed server.processes (2)"},
      {"[database]\nsslmode = \"verify-full\"", "needs database.sslrootcert"},
      {"[listen]\nproxy_protocol = \"required\"",
       "listen.proxy_protocol needs listen.trusted_proxies: the networks of your balancers"},
      {"[listen]\nforwarded_header = \"forwarded\"",
       "listen.forwarded_header needs listen.trusted_proxies: the networks of your balancers"},
      {"[listen]\ntrusted_proxies = [\"10.0.0.0/8\", \"::/0\"]",
       "listen.trusted_proxies must not hold a network of every address"},
  };

  for (const refused_case& each : cases) {
    const std::string text = finding(each.toml);
    EXPECT_THAT(text, HasSubstr("pam.toml:")) << each.toml;
    EXPECT_THAT(text, HasSubstr(std::string{each.message})) << each.toml;
  }
}

TEST(config, a_rule_is_silent_about_a_value_that_has_a_finding_of_its_own) {
  EXPECT_THAT(finding("[tokens]\nlost_response_window = \"1s\"\nreuse_interval = \"never\"\n"),
              HasSubstr("tokens.reuse_interval: must be a duration"));
}

TEST(config, no_reuse_at_all_is_allowed_in_both_profiles) {
  good("[tokens]\nreuse_interval = 0\nlost_response_window = 0\n");
  good("[tokens]\nreuse_interval = \"0s\"\nlost_response_window = 0\n[server]\nprofile = \"strict\"\n");
}

TEST(config, serving_needs_a_profile_keys_certificates_and_a_database) {
  std::vector<std::string> keys;
  for (const auto& each : missing_for_serving(good(""))) keys.push_back(each.key);

  EXPECT_THAT(keys, ElementsAre("server.profile", "database.hosts", "keys.file", "tls.certificate_file",
                                "tls.private_key_file", "accounts.auto_confirm"));
}

constexpr std::string_view complete = R"(
[keys]
file = "keys.json"
[tls]
certificate_file = "c.pem"
private_key_file = "k.pem"
[database]
hosts = ["/run/postgresql"]
[accounts]
auto_confirm = true
)";

TEST(config, a_complete_configuration_lacks_nothing_to_serve) {
  const std::string text{complete};

  EXPECT_THAT(missing_for_serving(good(text + "[server]\nprofile = \"compatible\"\n")), IsEmpty());
  EXPECT_THAT(missing_for_serving(good(text + "[server]\nprofile = \"strict\"\n")), IsEmpty());
  EXPECT_THAT(
      missing_for_serving(good("[listen]\ntls = false\n[keys]\nfile = \"k\"\n[server]\nprofile = \"strict\"\n"
                               "[database]\nhosts = [\"db\"]\n[accounts]\nauto_confirm = true\n")),
      IsEmpty());
}

TEST(config, strict_refuses_to_serve_with_weak_values) {
  const std::string text =
      std::string{complete} +
      "[server]\nprofile = \"strict\"\nsite_url = \"http://a.example\"\ncors_origins = [\"*\"]\n"
      "[hash]\nmemory_kib = 8192\n[password]\nmin_length = 6\n";

  std::vector<std::string> keys;
  for (const auto& each : missing_for_serving(good(text))) keys.push_back(each.key);

  EXPECT_THAT(
      keys, ElementsAre("server.site_url", "server.cors_origins", "hash.memory_kib", "password.min_length"));
}

TEST(config, a_reload_changes_reloadable_values_only) {
  auto running = good("");
  const auto fresh =
      good("[log]\nlevel = \"debug\"\n[limits]\nconnections = 5\n[database]\npassword = \"x\"\n");

  const auto changes = difference(running, fresh);
  apply_reloadable(running, fresh);

  EXPECT_THAT(changes.reloadable, ElementsAre("log.level"));
  EXPECT_THAT(changes.needs_restart, ElementsAre("limits.connections", "database.password"));
  EXPECT_EQ(running.log.level, "debug");
  EXPECT_EQ(running.limits.connections, 15'000U);
  EXPECT_EQ(running.database.password, "");
}

TEST(config, threads_follow_the_cores_and_are_never_none) {
  EXPECT_GE(effective_shards(configuration{}), 1U);
  EXPECT_GE(effective_hash_threads(configuration{}), 1U);
}

TEST(config, the_processes_of_a_host_divide_its_hashing_threads) {
  const auto threads_with = [](std::string_view processes) {
    return effective_hash_threads(good("[hash]\nthreads = 4\n" + std::string{processes}));
  };

  EXPECT_EQ(threads_with(""), 4U);
  EXPECT_EQ(threads_with("[server]\nprocesses = 2\n"), 2U);
  EXPECT_EQ(threads_with("[server]\nprocesses = 8\n"), 1U);
  // Eight processes on four hosts.
  EXPECT_EQ(threads_with("processes = 2\n[server]\nprocesses = 8\n"), 2U);
}

}  // namespace
}  // namespace pam::runtime
