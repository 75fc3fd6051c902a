#include "load-tests/swarm/answer_check.hpp"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "load-tests/swarm/population.hpp"
#include "protocol/refresh_token_text.hpp"

namespace pam::load {
namespace {

class checked_answer : public ::testing::Test {
 protected:
  crypto::key_ring keys = crypto::key_ring::parse(crypto::key_ring::generate().value()).value();
  population people{std::chrono::milliseconds{1'790'000'000'000}, keys, "https://x/auth/v1"};
  seat me = people.at(1);
  user_model model{me.account, me.email, people.first_token(me)};
  answer_check check;

  std::string tokens(const crypto::refresh_token& refresh, const seat& whose) const {
    return fmt::format(
        R"({{"access_token":"a.b.c","expires_at":5,"refresh_token":"{}","user":{{"id":"{}"}}}})",
        protocol::encode_refresh_token(crypto::image_of(refresh)), to_text(whose.account));
  }
};

TEST_F(checked_answer, a_user_is_right_only_with_its_own_id_and_address) {
  const std::string right = fmt::format(R"({{"id":"{}","email":"{}"}})", to_text(me.account), me.email);
  const std::string stranger =
      fmt::format(R"({{"id":"{}","email":"{}"}})", to_text(people.at(2).account), me.email);
  EXPECT_EQ(check.is_user(right, model), "");
  EXPECT_NE(check.is_user(stranger, model), "");
  EXPECT_NE(check.is_user("{", model), "");
}

TEST_F(checked_answer, a_rotation_is_the_next_generation_of_the_same_session) {
  new_tokens into;
  EXPECT_EQ(check.is_rotation(tokens(keys.derive(model.token, 1), me), model, into), "");
  EXPECT_EQ(into.refresh.generation, 1U);
  EXPECT_EQ(into.access, "a.b.c");
  EXPECT_NE(check.is_rotation(tokens(keys.derive(model.token, 2), me), model, into), "");
  EXPECT_NE(check.is_rotation(tokens(people.first_token(people.at(2)), people.at(2)), model, into), "");
  EXPECT_NE(check.is_rotation(tokens(keys.derive(model.token, 1), people.at(2)), model, into), "");
}

TEST_F(checked_answer, a_sign_in_opens_a_session_of_its_own) {
  new_tokens into;
  EXPECT_EQ(
      check.is_sign_in(tokens(keys.first_refresh_token(me.account, people.at(9).session), me), model, into),
      "");
  EXPECT_NE(check.is_sign_in(tokens(model.token, me), model, into), "");
}

TEST_F(checked_answer, a_session_list_names_the_one_current_session) {
  const std::string mine = fmt::format(R"({{"id":"{}","current":true}})", to_text(me.session));
  const std::string other = fmt::format(R"({{"id":"{}","current":false}})", to_text(people.at(2).session));
  EXPECT_EQ(check.is_session_list(R"({"sessions":[)" + mine + "]}", model), "");
  EXPECT_NE(check.is_session_list(R"({"sessions":[)" + mine + "," + other + "]}", model), "");
  EXPECT_NE(check.is_session_list(R"({"sessions":[)" + other + "]}", model), "");
  EXPECT_NE(check.is_session_list(R"({"sessions":[]})", model), "");
}

TEST_F(checked_answer, a_503_leaves_everything_open_unless_it_says_that_nothing_was_done) {
  EXPECT_FALSE(check.may_have_happened(R"({"error_code":"over_capacity"})"));
  EXPECT_TRUE(check.may_have_happened(R"({"error_code":"over_capacity","may_have_happened":true})"));
  EXPECT_TRUE(check.may_have_happened(R"({"error_code":"another"})"));
  EXPECT_TRUE(check.may_have_happened("<html>a balancer's</html>"));
}

TEST_F(checked_answer, an_ended_session_is_refused_as_such) {
  EXPECT_EQ(check.is_ended(403, R"({"error_code":"session_not_found"})"), "");
  EXPECT_NE(check.is_ended(200, "{}"), "");
  EXPECT_NE(check.is_ended(403, R"({"error_code":"bad_jwt"})"), "");
}

}  // namespace
}  // namespace pam::load
