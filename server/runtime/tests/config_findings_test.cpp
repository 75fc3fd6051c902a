#include "server/runtime/config.hpp"

#include <gmock/gmock.h>

#include "server/runtime/tests/config_fixture.hpp"

namespace pam::runtime {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

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

}  // namespace
}  // namespace pam::runtime
