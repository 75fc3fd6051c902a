#include "server/runtime/config.hpp"

#include <gmock/gmock.h>

#include "server/runtime/tests/config_fixture.hpp"

namespace pam::runtime {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

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

}  // namespace
}  // namespace pam::runtime
