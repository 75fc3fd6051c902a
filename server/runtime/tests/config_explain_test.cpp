#include "server/runtime/config.hpp"

#include <gmock/gmock.h>

#include "server/runtime/tests/config_fixture.hpp"

namespace pam::runtime {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

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

}  // namespace
}  // namespace pam::runtime
