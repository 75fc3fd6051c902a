#include "server/runtime/config.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>

#include <gmock/gmock.h>

#include "server/runtime/config_table.hpp"
#include "server/runtime/config_values.hpp"

namespace pam::runtime {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

configuration good(std::string_view toml, const environment& variables = {}) {
  auto parsed = parse_config(toml, "pam.toml", variables);
  EXPECT_TRUE(parsed.has_value()) << (parsed.has_error() ? to_string(parsed.error()) : "");
  return parsed.has_value() ? std::move(*parsed) : configuration{};
}

config_errors bad(std::string_view toml, const environment& variables = {}) {
  auto parsed = parse_config(toml, "pam.toml", variables);
  EXPECT_TRUE(parsed.has_error()) << "accepted: " << toml;
  return parsed.has_error() ? parsed.error() : config_errors{};
}

/// The only finding, as its line of text.
std::string finding(std::string_view toml, const environment& variables = {}) {
  const auto errors = bad(toml, variables);
  EXPECT_EQ(errors.size(), 1U) << to_string(errors);
  return to_string(errors);
}

/// Every value as text, for comparing configurations.
std::vector<std::string> values_of(configuration settings) {
  std::vector<std::string> out;
  for (const option& each : options_of(settings)) {
    out.push_back(std::string{each.key} + " = " + format_value(each));
  }
  return out;
}

class temporary_folder {
 public:
  temporary_folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pam_config_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~temporary_folder() { std::filesystem::remove_all(path_); }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;

  std::string write(const std::string& name, std::string_view content) const {
    const auto file = path_ / name;
    std::ofstream{file, std::ios::binary} << content;
    return file.string();
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

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

TEST(config, an_unknown_key_names_its_line_and_the_nearest_key) {
  EXPECT_THAT(finding("[limits]\n\nconections = 5\n"),
              AllOf(HasSubstr("pam.toml:3: limits.conections: unknown key"),
                    HasSubstr("did you mean limits.connections (PAM_LIMITS__CONNECTIONS)?")));
}

TEST(config, a_key_in_the_wrong_section_names_the_right_one) {
  EXPECT_THAT(finding("[server]\naccess_lifetime = 900\n"), HasSubstr("did you mean tokens.access_lifetime"));
}

TEST(config, a_key_without_a_section_names_the_right_one) {
  EXPECT_THAT(finding("connections = 900\n"),
              AllOf(HasSubstr("pam.toml:1: connections"), HasSubstr("did you mean limits.connections")));
}

TEST(config, an_unknown_section_names_its_line_and_the_nearest_section) {
  EXPECT_THAT(finding("\n[limit]\nconnections = 5\n"),
              AllOf(HasSubstr("pam.toml:2: limit: unknown section"), HasSubstr("did you mean [limits]?")));
}

TEST(config, nothing_is_suggested_for_a_key_like_no_other) {
  EXPECT_THAT(finding("[server]\nxyzzy_plugh_frobnicate = 5\n"), Not(HasSubstr("did you mean")));
}

TEST(config, a_section_given_as_a_value_is_explained) {
  EXPECT_THAT(finding("tokens = 5\n"), HasSubstr("pam.toml:1: tokens: is a section: write [tokens]"));
}

struct refused_case {
  std::string_view toml;
  std::string_view message;
};

TEST(config, a_wrong_value_names_key_line_value_and_what_would_be_right) {
  const std::vector<refused_case> cases{
      {"[tokens]\naccess_lifetime = \"30h\"",
       "tokens.access_lifetime: must be a duration from 3m to 1d, not \"30h\""},
      {"[tokens]\naccess_lifetime = 5", "must be a duration from 3m to 1d, not 5"},
      {"[tokens]\naccess_lifetime = -5", "must be a duration from 3m to 1d, not -5"},
      {"[tokens]\naccess_lifetime = \"15 m\"", "not \"15 m\""},
      {"[tokens]\naccess_lifetime = \"-15m\"", "not \"-15m\""},
      {"[tokens]\naccess_lifetime = \"\"", "not \"\""},
      {"[tokens]\naccess_lifetime = 900.5", "not 900.5"},
      {"[tokens]\naccess_lifetime = nan", "not nan"},
      {"[tokens]\naccess_lifetime = \"99999999999999999d\"", "must be a duration"},
      {"[tokens]\naccess_lifetime = 9223372036854775807", "must be a duration"},
      {"[tokens]\naccess_lifetime = \"180500ms\"", "must be whole seconds"},
      {"[limits]\nconnections = 0", "limits.connections: must be an integer from 1 to 10000000, not 0"},
      {"[limits]\nconnections = -1", "not -1"},
      {"[limits]\nconnections = 1e3", "not 1000"},
      {"[limits]\nconnections = inf", "not inf"},
      {"[limits]\nconnections = \"5\"", "not \"5\""},
      {"[limits]\nconnections = [5]", "must be an integer"},
      {"[limits]\nconnections = 2026-11-22", "not a table, a date"},
      {"[limits]\nbody_bytes = \"64KB\"", "must be a size from 1KiB to 16MiB, not \"64KB\""},
      {"[limits]\nbody_bytes = \"9999999999GiB\"", "must be a size"},
      {"[listen]\nport = 65536", "must be an integer from 0 to 65535, not 65536"},
      {"[listen]\ntls = \"yes\"", "must be true or false, not \"yes\""},
      {"[listen]\naddress = \"localhost\"", "must be an IP address"},
      {"[listen]\naddress = \"\"", "must be an IP address"},
      {"[listen]\nproxy_protocol = \"on\"", "must be one of off, required, not \"on\""},
      {"[listen]\nforwarded_header = \"x-real-ip\"", "must be one of off, forwarded, x-forwarded-for"},
      {"[listen]\ntrusted_proxies = [\"10.0.0.1\"]", "entry \"10.0.0.1\" must be a network"},
      {"[server]\nprofile = \"lax\"", "must be one of compatible, strict, not \"lax\""},
      {"[server]\nsite_url = \"https://a.example/\"", "without a slash at the end"},
      {"[server]\nsite_url = \"ftp://a.example\"", "must be a URL"},
      {"[server]\nsite_url = \"https://a.example/?x=1\"", "must be a URL"},
      {"[server]\nsite_url = \"\"", "must be a URL"},
      {"[server]\nprefix = \"auth\"", "must be empty or a path"},
      {"[server]\nprefix = \"/auth//v1\"", "must be empty or a path"},
      {"[server]\ncors_origins = [\"https://a.example/x\"]",
       "entry \"https://a.example/x\" must be an origin"},
      {"[server]\ncors_origins = \"*\"", "must be a list of at most 256 texts"},
      {"[server]\ncors_origins = [1]", "must be a list"},
      {"[database]\nhosts = [\"db:0\"]", "entry \"db:0\" must be"},
      {"[database]\nhosts = [\"::1\"]", "entry \"::1\" must be"},
      {"[database]\nhosts = [\"\"]", "entry \"\" must be"},
      {"[database]\nmode = \"odyssey\"", "must be one of automatic, direct, pgbouncer_named, pgbouncer_safe"},
      {"[database]\nuser = \"\"", "must be 1 to 255 characters without spaces"},
      {"[tokens]\naudience = \"a b\"", "must be 1 to 255 characters without spaces"},
      {"[log]\nlevel = \"trace\"", "must be one of debug, info, warn, error"},
      {"[keys]\nfile = \"a\\u0000b\"", "contains a control character"},
  };

  for (const refused_case& each : cases) {
    const std::string text = finding(each.toml);
    EXPECT_THAT(text, HasSubstr("pam.toml:2: ")) << each.toml;
    EXPECT_THAT(text, HasSubstr(std::string{each.message})) << each.toml;
  }
}

TEST(config, a_text_that_is_too_long_is_refused) {
  EXPECT_THAT(finding("[keys]\nfile = \"" + std::string(5'000, 'x') + "\""),
              HasSubstr("longer than 4096 bytes"));
}

TEST(config, a_syntax_error_names_its_line) {
  EXPECT_THAT(finding("[limits]\nconnections = = 5\n"), HasSubstr("pam.toml:2: "));
}

TEST(config, a_syntax_error_stays_on_one_line) {
  const std::string text = finding("[log]\nlevel =i\n[x]\n");

  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
}

TEST(config, quotes_inside_of_a_malformed_value_hide_no_letters) {
  for (const std::string_view malformed :
       {"[log]\nlevel = 5\"\"\"\"\"z[l\ufefei=mit\n", "[log]\nlevel = 5[\"\ufefe\"]\n",
        "[log]\nlevel = a\"\ufb70\"\n"}) {
    EXPECT_THAT(finding(malformed), HasSubstr("pam.toml:2: ")) << malformed;
  }
}

TEST(config, letters_beyond_ascii_stand_in_quotes_and_comments_only) {
  for (const std::string_view stray :
       {"# \u00e9 'x\n\u00e9 = 1\n", "[log]\nlevel = \uf900\n", "[log]\nlevel = \"\u00e9\" \uf900\n"}) {
    EXPECT_THAT(finding(stray), HasSubstr(": a character beyond ASCII")) << stray;
  }
  for (const std::string_view fine :
       {"[mail]\nfolder = \"/tmp/\u00e9\" # \uf900 \"\n",
        "[mail]\nfolder = \"\"\"\u00e9 \" \\\" '\"\"\" # \u00e9\n", "[mail]\nfolder = \"\\\"\u00e9\"\n",
        "[mail]\nfolder = '\\' # \u00e9\n"}) {
    EXPECT_TRUE(parse_config(fine, "pam.toml", {}).has_value()) << fine;
  }
}

TEST(config, an_integer_beyond_64_bits_is_refused_with_its_line) {
  EXPECT_THAT(finding("[limits]\nconnections = 99999999999999999999\n"), HasSubstr("pam.toml:2: "));
}

TEST(config, a_key_given_twice_is_refused_with_its_line) {
  EXPECT_THAT(finding("[limits]\nconnections = 5\nconnections = 6\n"), HasSubstr("pam.toml:3: "));
}

TEST(config, a_file_that_is_not_utf_8_is_refused_with_its_line) {
  EXPECT_THAT(finding("[keys]\nfile = \"\xff\"\n"), HasSubstr("pam.toml:2: "));
}

TEST(config, all_findings_are_reported_in_the_order_of_their_lines) {
  const auto errors = bad("[tokens]\naccess_lifetime = 1\n[limits]\nnonsense_key_here = 1\nbody_bytes = 1\n",
                          {{"PAM_LOG__LEVEL", "loud"}, {"PAM_HASH__PASSES", "0"}});

  std::vector<std::string> origins;
  for (const auto& each : errors) origins.push_back(each.origin);
  EXPECT_THAT(origins, ElementsAre("pam.toml:2", "pam.toml:4", "pam.toml:5", "environment PAM_HASH__PASSES",
                                   "environment PAM_LOG__LEVEL"));
}

TEST(config, the_environment_wins_over_the_file) {
  const auto settings = good("[limits]\nconnections = 5\nbody_bytes = \"2KiB\"\n",
                             {{"PAM_LIMITS__CONNECTIONS", "7"},
                              {"PAM_LISTEN__TLS", "false"},
                              {"PAM_LIMITS__KEEP_ALIVE", "30s"},
                              {"PAM_LIMITS__HEADER", "12"},
                              {"PAM_SERVER__CORS_ORIGINS", "https://a.example, https://b.example"},
                              {"PAM_DATABASE__HOSTS", "db1:1,db2:2"},
                              {"PAM_TOKENS__ADMIN_ROLES", ""}});

  EXPECT_EQ(settings.limits.connections, 7U);
  EXPECT_EQ(settings.limits.body_bytes, 2'048U);
  EXPECT_FALSE(settings.listen.is_tls);
  EXPECT_EQ(settings.limits.keep_alive, seconds{30});
  EXPECT_EQ(settings.limits.header, seconds{12});
  EXPECT_THAT(settings.server.cors_origins, ElementsAre("https://a.example", "https://b.example"));
  EXPECT_EQ(settings.database.hosts.size(), 2U);
  EXPECT_THAT(settings.tokens.admin_roles, IsEmpty());
}

TEST(config, a_wrong_environment_value_names_the_variable) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"PAM_LIMITS__CONNECTIONS", ""},
      {"PAM_LIMITS__CONNECTIONS", "99999999999999999999"},
      {"PAM_LIMITS__CONNECTIONS", "-4"},
      {"PAM_LIMITS__CONNECTIONS", "nan"},
      {"PAM_LISTEN__TLS", "1"},
      {"PAM_KEYS__FILE", "\xc3\x28"},
      {"PAM_DATABASE__HOSTS", "db1:1,"},
      {"PAM_LIMITS__KEEP_ALIVE", "soon"},
      {"PAM_SERVER__CORS_ORIGINS", "a, b"},
  };

  for (const auto& [name, value] : cases) {
    const environment variables{{name, value}};
    EXPECT_THAT(finding("", variables), HasSubstr("environment " + name + ": ")) << value;
  }
}

TEST(config, an_unknown_variable_with_our_prefix_is_refused_with_the_nearest) {
  EXPECT_THAT(finding("", {{"PAM_LIMITS__CONECTIONS", "5"}}),
              AllOf(HasSubstr("environment PAM_LIMITS__CONECTIONS"), HasSubstr("PAM_LIMITS__CONNECTIONS")));
  EXPECT_THAT(finding("", {{"PAM_LIMITS_CONNECTIONS", "5"}}), HasSubstr("unknown key"));
  EXPECT_THAT(finding("", {{"PAM_limits__connections", "5"}}), HasSubstr("PAM_LIMITS__CONNECTIONS"));
}

TEST(config, variables_of_others_and_the_files_own_name_are_ignored) {
  good("", {{"PATH", "/bin"},
            {"PAM_CONFIG", "/etc/pam/pam.toml"},
            {"PAM_PG_BIN", "/opt/pg"},
            {"PAM_PGBOUNCER", "/opt/pgb"},
            {"PAMELA", "x"}});
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

TEST(config, a_password_file_gives_its_first_line) {
  const temporary_folder folder;
  const std::string file = folder.write("pw", "s3cret word\nignored\n");

  const auto settings =
      good("[database]\npassword_file = \"" + file + "\"\n", {{"PAM_MIGRATE__PASSWORD_FILE", file}});

  EXPECT_EQ(settings.database.password, "s3cret word");
  EXPECT_EQ(settings.migrate.password, "s3cret word");
}

TEST(config, a_password_file_that_is_missing_empty_or_too_long_is_refused) {
  const temporary_folder folder;

  for (const std::string& file : {folder.path() + "/none", folder.path(), folder.write("empty", "\n"),
                                  folder.write("long", std::string(2'000, 'x'))}) {
    EXPECT_THAT(finding("[database]\npassword_file = \"" + file + "\"\n"),
                AllOf(HasSubstr("pam.toml:2: database.password_file: must name a readable file"),
                      Not(HasSubstr("xxx"))));
  }
}

TEST(config, a_password_and_a_password_file_exclude_each_other) {
  const temporary_folder folder;
  const std::string file = folder.write("pw", "from file");

  const std::string text =
      finding("[database]\npassword = \"from toml\"\npassword_file = \"" + file + "\"\n");

  EXPECT_THAT(text, HasSubstr("pam.toml:3: database.password_file: cannot stand beside database.password"));
}

TEST(config, a_password_never_appears_in_a_message_or_a_text) {
  EXPECT_THAT(finding("[database]\npassword = 123456789\n"), Not(HasSubstr("123456789")));
  EXPECT_THAT(finding("[database]\npassword = \"hunter2\\u0007\"\n"), Not(HasSubstr("hunter2")));

  const auto settings = good("[database]\npassword = \"hunter2\"\n");
  EXPECT_THAT(testing::PrintToString(values_of(settings)), Not(HasSubstr("hunter2")));
}

TEST(config, a_credential_is_found_in_the_service_managers_folder) {
  const temporary_folder folder;
  folder.write("db_password", "swordfish");
  const environment variables{{"CREDENTIALS_DIRECTORY", folder.path()}};

  const auto settings =
      good("[database]\npassword_file = \"credential:db_password\"\n[keys]\nfile = \"credential:keys\"\n",
           variables);

  EXPECT_EQ(settings.database.password, "swordfish");
  EXPECT_EQ(settings.keys.file, folder.path() + "/keys");
}

TEST(config, a_credential_without_a_folder_or_with_a_path_is_refused) {
  EXPECT_THAT(finding("[keys]\nfile = \"credential:keys\"\n"), HasSubstr("LoadCredential=keys"));
  EXPECT_THAT(finding("[keys]\nfile = \"credential:../keys\"\n", {{"CREDENTIALS_DIRECTORY", "/run/c"}}),
              HasSubstr("without a folder"));
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

TEST(config, a_file_that_cannot_be_read_is_a_finding_that_names_it) {
  const temporary_folder folder;

  for (const std::string& file : {folder.path() + "/none.toml", folder.path()}) {
    const auto loaded = load_config(file, {});
    ASSERT_TRUE(loaded.has_error()) << file;
    EXPECT_EQ(loaded.error().at(0).origin, file);
  }
}

TEST(config, a_file_is_loaded_and_findings_carry_its_name) {
  const temporary_folder folder;
  const std::string file = folder.write("pam.toml", "[limits]\nconnections = 42\n");
  const std::string wrong = folder.write("wrong.toml", "\n[limits]\nconnections = 0\n");
  const std::string huge = folder.write("huge.toml", std::string(1'100'000, '\n'));

  EXPECT_EQ(load_config(file, {})->limits.connections, 42U);
  EXPECT_THAT(to_string(load_config(wrong, {}).error()), HasSubstr(wrong + ":3: limits.connections"));
  EXPECT_THAT(to_string(load_config(huge, {}).error()), HasSubstr("larger than 1MiB"));
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

TEST(config, a_key_is_explained_with_everything_the_table_knows_of_it) {
  const temporary_folder folder;
  const std::string file = folder.write("pam.toml", "[limits]\nrequest = \"8s\"\n");

  const auto told = explain_config("limits.request", file, {});

  EXPECT_TRUE(told.is_known);
  EXPECT_THAT(told.findings, IsEmpty());
  EXPECT_EQ(told.text,
            "limits.request\n  The deadline of everything a request does.\n\n"
            "  takes       a duration from 100ms to 1h; written with ms, s, m, h or d, a bare number means "
            "seconds\n"
            "  default     \"10s\"\n"
            "  in TOML     [limits] request = \"10s\"\n"
            "  variable    PAM_LIMITS__REQUEST\n"
            "  reload      no, a change needs a restart\n"
            "  in force    \"8s\", from " +
                file + ":2\n");
}

TEST(config, an_explanation_names_where_the_value_in_force_comes_from) {
  const temporary_folder folder;
  folder.write("secret", "hunter2\n");
  const std::string file = folder.write("pam.toml",
                                        "[server]\nprofile = \"strict\"\n[tls]\ncertificate_file = "
                                        "\"credential:cert\"\nprivate_key_file = \"key.pem\"\n[database]\n"
                                        "password_file = \"credential:secret\"\n");
  const environment variables{{"PAM_LOG__LEVEL", "debug"}, {"CREDENTIALS_DIRECTORY", folder.path()}};
  const auto in_force = [&](std::string_view key) {
    const std::string text = explain_config(key, file, variables).text;
    const std::size_t at = text.find("in force");
    return at == std::string::npos ? text : text.substr(at + 12);
  };

  EXPECT_EQ(in_force("log.level"), "\"debug\", from environment PAM_LOG__LEVEL\n");
  EXPECT_EQ(in_force("limits.body"), "\"20s\", from default\n");
  EXPECT_EQ(in_force("tokens.reuse_interval"), "\"0s\", from default of the profile strict\n");
  EXPECT_EQ(in_force("tls.certificate_file"),
            "\"" + folder.path() + "/cert\", from " + file + ":4, credential:cert\n");
  EXPECT_EQ(in_force("database.password"),
            "(set; not shown), from " + file +
                ":7, credential:secret, first line of the file in database.password_file\n");
  EXPECT_EQ(in_force("migrate.password"), "(empty), from default\n");
}

TEST(config, a_key_is_found_by_its_variable_and_without_a_file) {
  const auto told = explain_config("PAM_LOG__LEVEL", "", {});

  EXPECT_THAT(told.text, HasSubstr("log.level\n"));
  EXPECT_THAT(told.text, HasSubstr("\"info\", from default\n"));
  EXPECT_THAT(told.text, HasSubstr("no file was read"));
}

TEST(config, an_unknown_key_is_answered_with_the_nearest_ones) {
  const auto text = [](std::string_view key) {
    const auto told = explain_config(key, "", {});
    EXPECT_FALSE(told.is_known);
    return told.text;
  };

  EXPECT_EQ(text("log.levle"),
            "\"log.levle\" is no key of the configuration; the nearest: log.level, log.file\n");
  EXPECT_EQ(text("server.port"),
            "\"server.port\" is no key of the configuration; the nearest: listen.port, internal.port, "
            "migrate.port\n");
  EXPECT_THAT(text("slow"), HasSubstr("log.slow_request"));
  EXPECT_THAT(text("tls"), HasSubstr("is a section; its keys are\n  tls.certificate_file\n"));
  EXPECT_THAT(text("zzzzzzzzzzzzzz"), HasSubstr("lists all of them"));
}

TEST(config, a_refused_configuration_explains_its_keys_and_gives_its_findings) {
  const environment wrong{{"PAM_LIMITS__BODY", "soon"}};

  const auto told = explain_config("log.level", "", wrong);

  EXPECT_THAT(told.text, HasSubstr("one of debug, info, warn, error"));
  EXPECT_THAT(told.text, Not(HasSubstr("in force")));
  EXPECT_THAT(to_string(told.findings), HasSubstr("limits.body"));
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

TEST(config_values, durations_keep_their_value_through_text) {
  for (const std::string text : {"0s", "1ms", "1500ms", "75s", "15m", "12h", "30d"}) {
    EXPECT_EQ(format_duration(parse_duration(text).value_or(milliseconds{-1})), text);
  }
  EXPECT_EQ(format_duration(seconds{900}), "15m");
  for (const std::string_view text :
       {"", "s", "5", "5 s", "1.5h", "1h30m", "+5s", "-5s", "5S", "9223372036854775807d"}) {
    EXPECT_FALSE(parse_duration(text).has_value()) << text;
  }
}

TEST(config_values, sizes_keep_their_value_through_text) {
  for (const std::string text : {"0B", "1000B", "64KiB", "16MiB", "2GiB"}) {
    EXPECT_EQ(format_size(parse_size(text).value_or(7)), text);
  }
  for (const std::string_view text : {"", "KiB", "64", "64KB", "64kib", "-1B", "9223372036854775807KiB"}) {
    EXPECT_FALSE(parse_size(text).has_value()) << text;
  }
}

TEST(config_values, endpoints_are_hosts_addresses_or_directories) {
  for (const std::string text : {"db:6432", "[::1]:5432", "/run/postgresql:6432", "10.0.0.1:1",
                                 "auth_ro_1@db:6432", "auth_ro_1@/run/pg@x:6432"}) {
    EXPECT_EQ(format_endpoint(parse_endpoint(text).value_or(db::endpoint{})), text);
  }
  for (const std::string_view text : {"", ":5432", "db:", "db:x", "db:65536", "db:0", "[::1", "[]:1",
                                      "[::1]x", "::1", "a b", "a,b", "@db:1"}) {
    EXPECT_FALSE(parse_endpoint(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace pam::runtime
