#include "protocol/requests.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include <simdjson.h>

#include "protocol/json_writer.hpp"

namespace pam::protocol {
namespace {

template <class T>
void expect_refused(const decoded<T>& outcome, std::string_view code, std::string_view pointer) {
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code->code, code);
  EXPECT_EQ(outcome.error().pointer, pointer);
  EXPECT_FALSE(outcome.error().detail.empty());
}

std::string kept_metadata(std::string_view object) {
  const auto outcome = decode_update_user(R"({"data":)" + std::string{object} + "}");
  if (!outcome.has_value()) return "refused: " + outcome.error().detail;
  return outcome->data.has_value() ? outcome->data->set : "absent";
}

TEST(sign_up, reads_what_auth_js_sends) {
  const auto outcome = decode_sign_up(
      R"({"email":"ada@example.com","password":"correct horse","data":{"name":"Ada","n":1},)"
      R"("gotrue_meta_security":{"captcha_token":"t"},"code_challenge":null,"code_challenge_method":null})");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->email, "ada@example.com");
  EXPECT_FALSE(outcome->phone.has_value());
  EXPECT_EQ(outcome->password->view(), "correct horse");
  EXPECT_EQ(outcome->data.set, R"({"name":"Ada","n":1})");
  EXPECT_TRUE(outcome->data.removed.empty());
}

TEST(sign_up, reads_a_phone_and_ignores_its_channel) {
  const auto outcome = decode_sign_up(R"({"phone":"+49 30 1234","password":"p","data":{},"channel":"sms"})");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->phone, "+49 30 1234");
  EXPECT_TRUE(outcome->data.empty());
}

TEST(sign_up, without_any_credential_is_anonymous) {
  for (const std::string_view body :
       {"", "{}", R"({"data":{}})", R"({"email":null,"phone":null,"password":null,"data":null})",
        R"({"email":"","phone":""})", R"({"data":{},"gotrue_meta_security":{}})"}) {
    const auto outcome = decode_sign_up(body);
    ASSERT_TRUE(outcome.has_value()) << body;
    EXPECT_FALSE(outcome->email || outcome->phone || outcome->password) << body;
    EXPECT_TRUE(outcome->data.empty()) << body;
  }
}

TEST(sign_up, an_empty_email_beside_a_phone_is_absent) {
  const auto outcome = decode_sign_up(R"({"email":"","phone":"+49301234","password":"p"})");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_FALSE(outcome->email.has_value());
}

TEST(sign_up, leaves_an_empty_password_to_the_policy) {
  const auto outcome = decode_sign_up(R"({"email":"a@b.c","password":""})");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(outcome->password->empty());
}

TEST(sign_up, refuses_half_a_credential_and_two_addresses) {
  expect_refused(decode_sign_up(R"({"email":"a@b.c"})"), "validation_failed", "/password");
  expect_refused(decode_sign_up(R"({"phone":"+49301234","password":null})"), "validation_failed",
                 "/password");
  expect_refused(decode_sign_up(R"({"password":"p"})"), "validation_failed", "/email");
  expect_refused(decode_sign_up(R"({"email":"","password":"p"})"), "validation_failed", "/email");
  expect_refused(decode_sign_up(R"({"email":"a@b.c","phone":"+49301234","password":"p"})"),
                 "validation_failed", "/phone");
}

TEST(requests, wrong_types_are_refused_with_their_pointer) {
  for (const std::string_view member : {"email", "phone", "password", "current_password", "nonce"}) {
    for (const std::string_view value : {"1", "true", "[]", "{}", "[\"a\"]", "1.5"}) {
      const std::string body = "{\"" + std::string{member} + "\":" + std::string{value} + "}";
      expect_refused(decode_update_user(body), "validation_failed", "/" + std::string{member});
    }
  }
  for (const std::string_view value : {"1", "true", "[]", "\"{}\"", "\"\""}) {
    expect_refused(decode_update_user(R"({"data":)" + std::string{value} + "}"), "validation_failed",
                   "/data");
    expect_refused(decode_sign_up(R"({"data":)" + std::string{value} + "}"), "validation_failed", "/data");
  }
  expect_refused(decode_refresh_grant(R"({"refresh_token":5})"), "validation_failed", "/refresh_token");
}

TEST(requests, an_error_says_what_would_be_right_and_repeats_no_value) {
  EXPECT_EQ(decode_update_user(R"({"password":12345678})").error().detail,
            "The member /password must be a string.");
  EXPECT_EQ(decode_update_user(R"({"data":"secret"})").error().detail,
            "The member /data must be a JSON object.");
  EXPECT_EQ(decode_update_user("[]").error().detail, "The body must be one complete JSON object.");
  const std::string secret(2'000, 's');
  EXPECT_EQ(decode_update_user(R"({"password":")" + secret + "\"}").error().detail,
            "The member /password must be at most 1024 bytes.");
}

TEST(requests, lengths_are_bounded_in_decoded_bytes) {
  const auto with = [](std::string_view member, const std::string& value) {
    return decode_update_user("{\"" + std::string{member} + "\":\"" + value + "\"}");
  };
  const std::pair<std::string_view, std::size_t> rows[] = {{"email", max_email_bytes},
                                                           {"phone", max_phone_bytes},
                                                           {"password", max_password_bytes},
                                                           {"current_password", max_password_bytes},
                                                           {"nonce", max_nonce_bytes}};
  for (const auto& [member, limit] : rows) {
    EXPECT_TRUE(with(member, std::string(limit, 'x')).has_value()) << member;
    expect_refused(with(member, std::string(limit + 1, 'x')), "validation_failed", "/" + std::string{member});
  }
  std::string escaped;
  for (std::size_t i = 0; i < max_email_bytes; ++i) escaped += "\\u0041";
  EXPECT_TRUE(with("email", escaped).has_value());
}

TEST(password_grant, needs_one_address_and_a_password) {
  const auto by_email =
      decode_password_grant(R"({"email":"a@b.c","password":"p","gotrue_meta_security":{}})");
  ASSERT_TRUE(by_email.has_value());
  EXPECT_EQ(by_email->email, "a@b.c");
  EXPECT_EQ(by_email->password.view(), "p");
  const auto by_phone = decode_password_grant(R"({"phone":"+49301234","password":""})");
  ASSERT_TRUE(by_phone.has_value());
  EXPECT_EQ(by_phone->phone, "+49301234");

  expect_refused(decode_password_grant(""), "validation_failed", "/email");
  expect_refused(decode_password_grant(R"({"password":"p"})"), "validation_failed", "/email");
  expect_refused(decode_password_grant(R"({"email":"","password":"p"})"), "validation_failed", "/email");
  expect_refused(decode_password_grant(R"({"email":"a@b.c"})"), "validation_failed", "/password");
  expect_refused(decode_password_grant(R"({"email":"a@b.c","password":null})"), "validation_failed",
                 "/password");
  expect_refused(decode_password_grant(R"({"email":"a@b.c","phone":"+4930","password":"p"})"),
                 "validation_failed", "/phone");
}

TEST(refresh_grant, needs_its_token) {
  const auto outcome = decode_refresh_grant(R"({"refresh_token":"pamr1_abc","other":[1]})");
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->refresh_token.view(), "pamr1_abc");

  for (const std::string_view body : {"", "{}", R"({"refresh_token":null})", R"({"refresh_token":""})"}) {
    expect_refused(decode_refresh_grant(body), "validation_failed", "/refresh_token");
  }
  const std::string long_token(max_refresh_token_bytes + 1, 'a');
  expect_refused(decode_refresh_grant(R"({"refresh_token":")" + long_token + "\"}"), "validation_failed",
                 "/refresh_token");
}

TEST(update_user, tells_absent_from_empty_metadata) {
  EXPECT_FALSE(decode_update_user("{}")->data.has_value());
  EXPECT_FALSE(decode_update_user(R"({"data":null})")->data.has_value());
  ASSERT_TRUE(decode_update_user(R"({"data":{}})")->data.has_value());
  EXPECT_TRUE(decode_update_user(R"({"data":{}})")->data->empty());
}

TEST(update_user, empty_texts_are_absent_but_an_empty_password_is_not) {
  const auto outcome =
      decode_update_user(R"({"email":"","phone":"","nonce":"","current_password":"","password":""})");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_FALSE(outcome->email || outcome->phone || outcome->nonce || outcome->current_password);
  EXPECT_TRUE(outcome->password.has_value());
}

TEST(update_user, reads_every_member) {
  const auto outcome = decode_update_user(
      R"({"email":"a@b.c","phone":"1","password":"new","current_password":"old","nonce":"123456","data":{"a":1}})");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->email, "a@b.c");
  EXPECT_EQ(outcome->phone, "1");
  EXPECT_EQ(outcome->password->view(), "new");
  EXPECT_EQ(outcome->current_password->view(), "old");
  EXPECT_EQ(outcome->nonce, "123456");
  EXPECT_EQ(outcome->data->set, R"({"a":1})");
}

TEST(metadata, null_at_the_top_removes_a_key_and_stays_null_below) {
  const auto outcome =
      decode_update_user(R"({"data":{"gone":null,"kept":{"n":null,"l":[null]},"\u0061\"":null}})");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->data->set, R"({"kept":{"n":null,"l":[null]}})");
  EXPECT_THAT(outcome->data->removed, testing::ElementsAre("gone", "a\""));
}

TEST(metadata, is_written_anew_in_one_form) {
  EXPECT_EQ(kept_metadata(R"({ "a" : [ 1.0 , 2e2 ] , "b" : "\u0041\/\u00e9\n" })"),
            "{\"a\":[1,200],\"b\":\"A/\u00e9\\n\"}");
  EXPECT_EQ(kept_metadata(R"({"big":123456789012345678901234567890,"t":true})"),
            R"({"big":123456789012345678901234567890,"t":true})");
  EXPECT_EQ(kept_metadata(R"({"e":{},"l":[],"s":""})"), R"({"e":{},"l":[],"s":""})");
  EXPECT_EQ(kept_metadata(R"({"p":"\ud83d\ude00"})"), "{\"p\":\"\U0001F600\"}");
}

TEST(metadata, ends_at_16_kilobytes_as_it_will_travel) {
  const std::string frame = R"({"a":""})";
  const std::string fits(max_metadata_bytes - frame.size(), 'x');
  EXPECT_EQ(kept_metadata(R"({"a":")" + fits + "\"}").size(), max_metadata_bytes);
  expect_refused(decode_update_user(R"({"data":{"a":")" + fits + "x\"}}"), "validation_failed", "/data");

  // 40 numbers of five bytes each would be 12 KB in every token, 80 are too many.
  const auto numbers = [](int count) {
    std::string list = R"({"data":{"a":[0)";
    for (int i = 0; i < count; ++i) list += ",1e308";
    return list + "]}}";
  };
  EXPECT_TRUE(decode_update_user(numbers(40)).has_value());
  EXPECT_FALSE(decode_update_user(numbers(80)).has_value());
}

TEST(metadata, bounds_the_keys_it_removes) {
  expect_refused(
      decode_update_user(R"({"data":{")" + std::string(max_metadata_bytes + 1, 'k') + R"(":null}})"),
      "validation_failed", "/data");
}

/// Appends a random JSON value; strings hold escapes, controls and characters of every UTF-8 length.
void append_random(json_writer& json, std::mt19937& random, int depth) {
  const auto pick = [&](int bound) { return std::uniform_int_distribution<int>{0, bound - 1}(random); };
  const auto text = [&] {
    constexpr std::string_view pieces[] = {"a",      "\"",         "\\", "\n", "\x01", "\u00e9",
                                           "\u20ac", "\U0001F600", "/",  "~",  ""};
    std::string out;
    for (int i = pick(8); i > 0; --i) out += pieces[static_cast<std::size_t>(pick(std::size(pieces)))];
    return out;
  };
  switch (pick(depth > 5 ? 5 : 8)) {
    case 0:
      json.null();
      return;
    case 1:
      json.boolean(pick(2) == 0);
      return;
    case 2:
      json.integer(pick(2'000'000) - 1'000'000);
      return;
    case 3:
      json.raw(std::to_string(pick(1000)) + "." + std::to_string(pick(1000)) + "e" +
               std::to_string(pick(24) - 12));
      return;
    case 4:
      json.text(text());
      return;
    case 5:
      json.begin_array();
      for (int i = pick(5); i > 0; --i) append_random(json, random, depth + 1);
      json.end_array();
      return;
    default:
      json.begin_object();
      for (int i = pick(5); i > 0; --i) {
        json.key(std::to_string(i) + text());
        append_random(json, random, depth + 1);
      }
      json.end_object();
  }
}

bool are_equal(const simdjson::dom::element& a, const simdjson::dom::element& b) {
  using simdjson::dom::element_type;
  if (a.is_number() && b.is_number()) return a.get_double().value() == b.get_double().value();
  if (a.type() != b.type()) return false;
  if (a.is_string()) return a.get_string().value() == b.get_string().value();
  if (a.is_bool()) return a.get_bool().value() == b.get_bool().value();
  if (a.is_array()) {
    const simdjson::dom::array left = a.get_array().value();
    const simdjson::dom::array right = b.get_array().value();
    return left.size() == right.size() && std::equal(left.begin(), left.end(), right.begin(), are_equal);
  }
  if (!a.is_object()) return true;
  const simdjson::dom::object left = a.get_object().value();
  const simdjson::dom::object right = b.get_object().value();
  if (left.size() != right.size()) return false;
  return std::all_of(left.begin(), left.end(), [&](const simdjson::dom::key_value_pair& member) {
    simdjson::dom::element other;
    return right.at_key(member.key).get(other) == simdjson::SUCCESS && are_equal(member.value, other);
  });
}

TEST(metadata, random_objects_keep_their_meaning_and_their_form_is_final) {
  std::mt19937 random{7};
  for (int round = 0; round < 3'000; ++round) {
    std::string object;
    json_writer json{object};
    json.begin_object();
    for (int i = 0; i < 4; ++i) {
      json.key("k" + std::to_string(i));
      json.begin_array();
      append_random(json, random, 0);
      json.end_array();
    }
    json.end_object();
    if (object.size() > 8'000) continue;

    const std::string kept = kept_metadata(object);

    simdjson::dom::parser first;
    simdjson::dom::parser second;
    ASSERT_TRUE(are_equal(first.parse(object).value(), second.parse(kept).value())) << object << "\n" << kept;
    ASSERT_EQ(kept_metadata(kept), kept);
  }
}

}  // namespace
}  // namespace pam::protocol
