#include "server/cli/command.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <CLI/CLI.hpp>

#include "server/cli/config_command.hpp"
#include "server/cli/tests/temporary_folder.hpp"
#include "server/cli/version_command.hpp"
#include "server/crypto/key_ring.hpp"

namespace pam::cli {
namespace {

using pam::cli::testing::temporary_folder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::string_view complete =
    "[server]\nprofile = \"strict\"\nshards = 2\n[keys]\nfile = \"keys.json\"\n"
    "[tls]\ncertificate_file = \"c.pem\"\nprivate_key_file = \"k.pem\"\n[database]\nhosts = "
    "[\"/run/postgresql\"]\n"
    "password = \"hunter2\"\n[accounts]\nauto_confirm = true\n";

struct result {
  int status = 0;
  std::string out;
  std::string err;
};

/// Runs a whole command line, as main does.
result run(const std::string& line, const runtime::environment& variables = {}) {
  std::ostringstream out;
  std::ostringstream err;
  command_context context{.out = out, .err = err, .variables = variables};
  CLI::App app{"pam-auth"};
  app.require_subcommand(1);
  add_check_command(app, context);
  add_config_command(app, context);
  add_keys_command(app, context);
  add_token_command(app, context);
  add_version_command(app, context);
  try {
    app.parse(line);
  } catch (const CLI::ParseError& wrong) {
    return {usage, "", wrong.what()};
  }
  return {context.status, out.str(), err.str()};
}

TEST(check_command, what_does_not_fit_together_is_a_usage_error) {
  EXPECT_EQ(run("check").status, usage);
  EXPECT_THAT(run("check").err, HasSubstr("--config FILE is needed"));
  EXPECT_EQ(run("check --config x --processes 0").status, usage);
  EXPECT_EQ(run("check --config x --i-am-alone").status, usage);
  EXPECT_EQ(run("check --cores 4").status, usage);
  EXPECT_EQ(run("check --config /nonexistent").status, failure);
}

TEST(check_command, suggests_without_a_configuration) {
  const auto suggested = run("check --suggest --memory-gib 16 --cores 8");

  EXPECT_EQ(suggested.status, success);
  EXPECT_THAT(suggested.out, HasSubstr("shared_buffers = 4GB"));
}

TEST(config_command, the_default_text_is_itself_a_valid_file) {
  const temporary_folder folder;
  const auto printed = run("config default");
  const std::string file = folder.write("pam.toml", printed.out);

  EXPECT_EQ(printed.status, success);
  EXPECT_TRUE(runtime::load_config(file, {}).has_value());
}

TEST(config_command, the_reference_is_markdown) {
  const auto printed = run("config reference");

  EXPECT_EQ(printed.status, success);
  EXPECT_THAT(printed.out, AllOf(StartsWith("# Configuration\n"), HasSubstr("## [tokens]")));
}

TEST(config_command, a_complete_configuration_is_summed_up) {
  const temporary_folder folder;
  const std::string file = folder.write("pam.toml", complete);

  const auto checked =
      run("config check " + file, {{"PAM_TOKENS__LOST_RESPONSE_WINDOW", "1m"}, {"PAM_HASH__THREADS", "6"}});

  EXPECT_EQ(checked.status, success);
  EXPECT_EQ(checked.out,
            file +
                ": ok, profile strict\n"
                "departs from the profile: tokens.lost_response_window = \"1m\"\n"
                "to the primary: 1 process x 2 shards x (1 pipeline + 4 leases) = 10 connections, "
                "20 while successors take over\n"
                "to a pooler's console: one for a moment by each shard that connects, so 24 clients "
                "of it at most\n"
                "of commands, directly (maintain, migrate): 3\n"
                "hashing threads of each process: 6\n");
  EXPECT_THAT(checked.err, IsEmpty());
}

TEST(config_command, every_finding_is_a_line_with_its_place) {
  const temporary_folder folder;
  const std::string file = folder.write("pam.toml", "[limits]\nconections = 5\n");

  const auto checked = run("config check " + file, {{"PAM_LOG__LEVEL", "loud"}});

  EXPECT_EQ(checked.status, failure);
  EXPECT_THAT(checked.out, IsEmpty());
  EXPECT_THAT(checked.err, AllOf(HasSubstr(file + ":2: limits.conections: unknown key"),
                                 HasSubstr("\nenvironment PAM_LOG__LEVEL: log.level: must be")));
}

TEST(config_command, what_is_missing_to_serve_is_listed) {
  const temporary_folder folder;

  const auto checked = run("config check " + folder.write("pam.toml", ""));

  EXPECT_EQ(checked.status, failure);
  EXPECT_THAT(checked.err,
              AllOf(HasSubstr("server.profile"), HasSubstr("keys.file"), HasSubstr("database.hosts")));
}

TEST(config_command, a_missing_file_is_named_with_the_cure) {
  const auto checked = run("config check /nonexistent/pam.toml");

  EXPECT_EQ(checked.status, failure);
  EXPECT_THAT(checked.err, AllOf(HasSubstr("/nonexistent/pam.toml"), HasSubstr("pam-auth config default")));
}

TEST(version_command, prints_the_version_and_the_loaded_libraries) {
  const auto printed = run("version");

  EXPECT_EQ(printed.status, success);
  EXPECT_THAT(printed.out,
              MatchesRegex("pam-auth [0-9]+\\.[0-9]+\\.[0-9]+\nopenssl 3[^\n]*\nlibsodium [^\n]+\n"
                           "boost 1\\.[0-9]+\\.[0-9]+\ncompiler [^\n]+\n"));
}

TEST(command_line, keys_are_generated_and_a_token_is_minted_with_them) {
  const temporary_folder folder;
  const std::string keys = folder.file("keys.json");
  const std::string config = folder.write("pam.toml", "[keys]\nfile = \"" + keys + "\"\n");

  EXPECT_EQ(run("keys generate " + keys + " --algorithm EdDSA").status, success);
  const auto minted = run("token --config " + config + " --role service_role --ttl 90d --subject ci");

  EXPECT_EQ(minted.status, success) << minted.err;
  EXPECT_THAT(minted.out, MatchesRegex("[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\n"));
  EXPECT_THAT(minted.err, HasSubstr("role service_role, subject ci, valid until "));
}

TEST(command_line, wrong_usage_does_nothing) {
  const temporary_folder folder;
  const std::string keys = folder.file("keys.json");
  const std::string config = folder.write("pam.toml", "");

  EXPECT_EQ(run("keys generate " + keys + " --algorithm none").status, usage);
  EXPECT_EQ(run("keys generate").status, usage);
  EXPECT_EQ(run("config").status, usage);
  EXPECT_EQ(run("token --role service_role --ttl 90d").status, usage);
  EXPECT_EQ(run("token --config " + config + " --role service_role --ttl forever").status, usage);
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(command_line, a_token_needs_a_valid_configuration) {
  const temporary_folder folder;
  const std::string config = folder.write("pam.toml", "[limits]\nconnections = 0\n");

  const auto minted = run("token --config " + config + " --role service_role --ttl 1d");

  EXPECT_EQ(minted.status, failure);
  EXPECT_THAT(minted.err, HasSubstr(config + ":2: limits.connections"));
  EXPECT_THAT(minted.out, IsEmpty());
}

}  // namespace
}  // namespace pam::cli
