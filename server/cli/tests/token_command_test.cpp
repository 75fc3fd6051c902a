#include "server/cli/token_command.hpp"

#include <sstream>

#include <gmock/gmock.h>

#include "protocol/claims.hpp"
#include "server/cli/command.hpp"
#include "server/cli/keys_command.hpp"
#include "server/cli/tests/temporary_folder.hpp"

namespace pam::cli {
namespace {

using namespace std::chrono_literals;
using pam::cli::testing::temporary_folder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::chrono::sys_days today{std::chrono::year{2026} / 11 / 22};

class token_command : public ::testing::Test {
 protected:
  token_command() {
    std::ostringstream ignored;
    EXPECT_EQ(run_keys_generate(folder_.file("keys.json"), crypto::algorithm::es256, false, ignored, ignored),
              success);
    settings_.keys.file = folder_.file("keys.json");
    settings_.server.site_url = "https://auth.example.com";
  }

  int run(const token_request& wanted) {
    out_.str("");
    err_.str("");
    return run_token(settings_, wanted, out_, err_);
  }

  static token_request request() {
    return {.role = "service_role", .lifetime = 24h * 90, .subject = "deploy", .now = today + 1500ms};
  }

  temporary_folder folder_;
  runtime::configuration settings_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(token_command, a_token_is_signed_by_the_machine_key_and_carries_the_request) {
  ASSERT_EQ(run(request()), success) << err_.str();
  std::string jwt = out_.str();
  jwt.pop_back();
  const auto keys = crypto::key_ring::load(settings_.keys.file);
  const crypto::jwt_expectation expected{
      .issuer = "https://auth.example.com/auth/v1", .audience = "authenticated", .now = today + 1h};

  const auto verified = keys->verify(jwt, expected);

  ASSERT_TRUE(verified.has_value()) << verified.error().detail;
  EXPECT_EQ(verified->use, crypto::key_use::machine);
  const auto claims = protocol::decode_machine_claims(verified->payload);
  ASSERT_TRUE(claims.has_value());
  EXPECT_EQ(claims->role, "service_role");
  EXPECT_EQ(claims->sub, "deploy");
  const std::chrono::seconds issued = today.time_since_epoch() + 1s;
  EXPECT_EQ(claims->iat, issued.count());
  EXPECT_EQ(claims->exp, (issued + 24h * 90).count());
}

TEST_F(token_command, the_end_of_its_life_is_told_apart_from_the_token) {
  ASSERT_EQ(run(request()), success);

  EXPECT_THAT(err_.str(), HasSubstr("valid until 2027-02-20T00:00:01.000000Z"));
  const std::string printed = out_.str();
  EXPECT_EQ(std::count(printed.begin(), printed.end(), '\n'), 1);
  EXPECT_EQ(printed.back(), '\n');
}

TEST_F(token_command, a_role_that_may_not_administer_is_refused) {
  for (const std::string role : {"authenticated", "", "service_role2", "SERVICE_ROLE"}) {
    auto wanted = request();
    wanted.role = role;

    EXPECT_EQ(run(wanted), failure) << role;
    EXPECT_THAT(err_.str(),
                AllOf(HasSubstr("tokens.admin_roles"), HasSubstr("service_role, supabase_admin")));
    EXPECT_THAT(out_.str(), IsEmpty());
  }
}

TEST_F(token_command, a_lifetime_outside_its_bounds_is_refused) {
  for (const std::chrono::seconds lifetime : {-1s, 0s, 59s, std::chrono::seconds{24h * 365} + 1s}) {
    auto wanted = request();
    wanted.lifetime = lifetime;

    EXPECT_EQ(run(wanted), failure) << lifetime.count();
    EXPECT_THAT(err_.str(), HasSubstr("from 1m to 365d"));
  }
  for (const std::chrono::seconds lifetime : {std::chrono::seconds{60}, std::chrono::seconds{24h * 365}}) {
    auto wanted = request();
    wanted.lifetime = lifetime;
    EXPECT_EQ(run(wanted), success) << lifetime.count();
  }
}

TEST_F(token_command, a_subject_that_does_not_fit_a_log_line_is_refused) {
  for (const std::string& subject :
       {std::string{}, std::string{"a b"}, std::string{"a\nb"}, std::string(256, 'a')}) {
    auto wanted = request();
    wanted.subject = subject;
    EXPECT_EQ(run(wanted), failure) << subject;
  }
}

TEST_F(token_command, without_a_usable_key_file_there_is_no_token) {
  settings_.keys.file = folder_.file("none.json");
  EXPECT_EQ(run(request()), failure);
  EXPECT_THAT(err_.str(), HasSubstr("none.json"));

  settings_.keys.file.clear();
  EXPECT_EQ(run(request()), failure);
  EXPECT_THAT(err_.str(), HasSubstr("pam-auth keys generate"));
}

}  // namespace
}  // namespace pam::cli
