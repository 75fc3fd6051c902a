// What every decoder refuses, whatever it reads, and whatever part of the body is broken.
#include <gtest/gtest.h>

#include <random>

#include <simdjson.h>

#include "protocol/claims.hpp"
#include "protocol/requests.hpp"

namespace pam::protocol {
namespace {

struct verdict {
  bool is_accepted = false;
  std::string_view code;
  std::string pointer;
};

template <class T>
verdict verdict_of(const decoded<T>& outcome) {
  if (outcome.has_value()) return {true, {}, {}};
  return {false, outcome.error().code->code, outcome.error().pointer};
}

verdict update_user(std::string_view body) {
  return verdict_of(decode_update_user(body));
}

/// The same fragment as a member that is ignored, inside ignored ones, inside metadata, and as a key.
std::vector<std::string> bodies_with_value(std::string_view fragment) {
  const std::string text{fragment};
  return {
      R"({"ignored":)" + text + "}",
      R"({"email":"a@b.c","ignored":[1,{"deep":)" + text + "}]}",
      R"({"data":{"kept":)" + text + "}}",
      R"({"data":{"kept":[{"deep":)" + text + R"(},2]},"email":"a@b.c"})",
  };
}

void expect_refused(std::string_view fragment) {
  for (const auto& body : bodies_with_value(fragment)) {
    const auto outcome = update_user(body);
    EXPECT_FALSE(outcome.is_accepted) << body;
    EXPECT_EQ(outcome.code, "bad_json") << body;
  }
}

void expect_accepted(std::string_view fragment) {
  for (const auto& body : bodies_with_value(fragment)) EXPECT_TRUE(update_user(body).is_accepted) << body;
}

TEST(strictness, a_body_is_one_complete_object) {
  for (const std::string_view body : {" ",
                                      "null",
                                      "true",
                                      "1",
                                      "\"x\"",
                                      "[]",
                                      "[{}]",
                                      "{",
                                      "}",
                                      "{}}",
                                      "{}{}",
                                      "{} {}",
                                      "{}x",
                                      "{},",
                                      "x{}",
                                      "\xEF\xBB\xBF{}",
                                      "{]",
                                      "{[}",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{,}",
                                      "{\"a\" 1}",
                                      "{\"a\":1 \"b\":2}",
                                      "{a:1}",
                                      "{'a':1}",
                                      "{\"a\":1;}",
                                      "{1:2}",
                                      "{\"a\":1}//",
                                      "/**/{}",
                                      "{\"a\":{}",
                                      "{\"a\":[}",
                                      "{\"a\":[1}",
                                      "{\"a\":{\"b\":1]}",
                                      "{\"a\"::1}",
                                      "{\"a\":1,,\"b\":2}",
                                      "{\"a\":[1,]}",
                                      "{\"a\":[,1]}",
                                      "{\"a\":[1 2]}",
                                      "{\"a\":[[}",
                                      "{\"a\":[1,{]}",
                                      "{:}",
                                      "{\"a\":}}",
                                      "{\"a\":,}",
                                      "{null:1}"}) {
    const auto outcome = update_user(body);
    EXPECT_FALSE(outcome.is_accepted) << body;
    EXPECT_EQ(outcome.code, "bad_json") << body;
  }
  EXPECT_FALSE(update_user(std::string_view("{\"a\":1}\0", 8)).is_accepted);
}

TEST(strictness, an_empty_body_is_an_empty_object_and_blanks_around_are_fine) {
  for (const std::string_view body :
       {"", "{}", " {} ", "\t\r\n{\n}\n", " { \"a\" : [ 1 , 2 ] , \"b\" : null } "}) {
    EXPECT_TRUE(update_user(body).is_accepted) << body;
  }
}

TEST(strictness, a_body_that_stops_early_is_refused_at_every_byte) {
  const std::string body =
      R"({"email":"a\u00e9@b.c","password":"12345678","x":[1.5e1,true,false,null,{"k":"v"}],"data":{"a":{"b":[1,"c"]}}})";
  ASSERT_TRUE(update_user(body).is_accepted);
  for (std::size_t length = 1; length < body.size(); ++length) {
    EXPECT_FALSE(update_user(std::string_view{body}.substr(0, length)).is_accepted) << length;
  }
}

TEST(strictness, bad_numbers_and_literals_are_refused_everywhere) {
  for (const std::string_view fragment :
       {"01",  "-",     "+1",       ".5",   "1.",  "1e",    "1e400",  "-1e400",    "1e-400",
        "NaN", "nul",   "nulll",    "True", "tru", "truex", "falsee", "undefined", "0x10",
        "1a",  "1_000", "infinity", "'x'",  "n",   "t",     "f"}) {
    expect_refused(fragment);
  }
}

TEST(strictness, integers_of_any_length_within_double_are_accepted) {
  for (const std::string_view fragment :
       {"9223372036854775808", "18446744073709551616", "100000000000000000000",
        "-123456789012345678901234567890", "1e308", "5e-324", "0.1", "-0"}) {
    expect_accepted(fragment);
  }
}

TEST(strictness, nul_and_lone_surrogates_are_refused_in_values) {
  for (const std::string_view fragment :
       {R"("\u0000")", R"("a\u0000b")", R"("\ud800")", R"("\uDBFF x")", R"("\udc00")", R"("\uDFFF")",
        R"("\ud800\ud800")", R"("\ud800\u0041")", R"("\udc00\ud800")", R"("x\ud83d")", R"("\ud83d\n")",
        R"("\ud83d\ude0")"}) {
    expect_refused(fragment);
  }
  expect_accepted(R"("\ud83d\ude00 \u00e9 \uffff \ud7ff \ue000 \uD7A3")");
}

TEST(strictness, nul_and_lone_surrogates_are_refused_in_keys) {
  for (const std::string_view key : {R"("\u0000")", R"("\ud800")", R"("a\udfff")", R"("\x")"}) {
    expect_refused("{" + std::string{key} + ":1}");
    EXPECT_FALSE(update_user("{" + std::string{key} + ":1}").is_accepted);
  }
}

TEST(strictness, unknown_escapes_and_raw_controls_are_refused) {
  for (const std::string_view fragment :
       {R"("\x41")", R"("\u12")", R"("\u12g4")", R"("\U0041")", R"("\0")", R"("\'")", "\"a\nb\"", "\"a\tb\"",
        "\"\x01\"", "\"\x1f\"", R"("unclosed)", R"("\")"}) {
    expect_refused(fragment);
  }
  expect_refused(std::string_view("\"a\0b\"", 5));
  expect_accepted(R"("\"\\\/\b\f\n\r\t\u0041")");
  expect_accepted("\"\x7f\"");
}

TEST(strictness, every_class_of_invalid_utf_8_is_refused) {
  for (const std::string_view bytes : {"\x80",              // a continuation alone
                                       "\xBF\x80",          // two of them
                                       "\xC3",              // cut off after one of two
                                       "\xE2\x82",          // after two of three
                                       "\xF0\x9F\x98",      // after three of four
                                       "\xC3\x28",          // no continuation where one must be
                                       "\xC0\xAF",          // overlong '/'
                                       "\xC1\xBF",          // overlong DEL
                                       "\xE0\x80\xAF",      // overlong in three
                                       "\xF0\x80\x80\xAF",  // overlong in four
                                       "\xED\xA0\x80",      // a surrogate
                                       "\xED\xBF\xBF",      // the last one
                                       "\xF4\x90\x80\x80",  // above U+10FFFF
                                       "\xF5\x80\x80\x80", "\xF8\x88\x80\x80\x80", "\xFE", "\xFF"}) {
    expect_refused("\"a" + std::string{bytes} + "b\"");
    expect_refused("{\"" + std::string{bytes} + "\":1}");
  }
}

TEST(strictness, a_key_may_come_once_in_each_object) {
  for (const std::string_view fragment :
       {R"({"a":1,"a":2})", R"({"a":1,"\u0061":2})", R"({"":1,"":2})", R"([{"x":{"a":null,"b":1,"a":null}}])",
        R"({"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"1":0})"}) {
    expect_refused(fragment);
  }
  expect_accepted(R"({"a":{"a":{"a":1}},"A":2})");
  EXPECT_EQ(update_user(R"({"email":"a@b.c","email":"a@b.c"})").code, "bad_json");
  EXPECT_EQ(update_user(R"({"x":1,"x":1})").code, "bad_json");
  EXPECT_EQ(update_user(R"({"data":{"a":null,"a":1}})").code, "bad_json");
}

TEST(strictness, nesting_ends_at_32) {
  const auto nested = [](std::size_t depth, char open, char close) {
    // The body itself is the first level.
    return R"({"x":)" + std::string(depth - 1, open) + std::string(depth - 1, close) + "}";
  };
  EXPECT_TRUE(update_user(nested(max_json_depth, '[', ']')).is_accepted);
  EXPECT_FALSE(update_user(nested(max_json_depth + 1, '[', ']')).is_accepted);

  std::string objects = R"({"data":)";
  for (std::size_t i = 2; i < max_json_depth; ++i) objects += R"({"a":)";
  EXPECT_TRUE(update_user(objects + "{}" + std::string(max_json_depth - 1, '}')).is_accepted);
  EXPECT_FALSE(update_user(objects + R"({"a":{}})" + std::string(max_json_depth - 1, '}')).is_accepted);
}

TEST(strictness, a_megabyte_of_brackets_is_refused_without_harm) {
  for (const std::string& body :
       {std::string(1 << 20, '['), std::string(1 << 20, '{'), std::string(1 << 20, '"'),
        R"({"x":)" + std::string(1 << 20, '[') + "}", std::string(1 << 20, ' ')}) {
    EXPECT_FALSE(update_user(body).is_accepted);
  }
}

TEST(strictness, a_megabyte_that_is_ignored_is_read_to_its_end) {
  const std::string filler = R"({"ignored":")" + std::string(1 << 20, 'x');

  EXPECT_TRUE(update_user(filler + R"(","email":"a@b.c"})").is_accepted);
  EXPECT_FALSE(update_user(filler + R"(\ud800","email":"a@b.c"})").is_accepted);
  EXPECT_FALSE(update_user(filler + R"(","email":"a@b.c","email":null})").is_accepted);
}

TEST(strictness, an_error_names_its_place) {
  EXPECT_EQ(update_user(R"({"data":{"a":[1,{"b/~c":1e400}]}})").pointer, "/data/a/1/b~1~0c");
  EXPECT_EQ(update_user(R"({"email":1})").pointer, "/email");
  EXPECT_EQ(update_user("[]").pointer, "");
}

TEST(strictness, an_error_does_not_repeat_long_keys) {
  const std::string key(5'000, 'k');

  const auto outcome = decode_update_user(R"({"data":{")" + key + R"(":1e400}})");

  EXPECT_EQ(outcome.error().pointer, "/data");
  EXPECT_LT(outcome.error().detail.size(), 400U);
}

TEST(strictness, the_reader_works_on_after_an_error) {
  ASSERT_FALSE(update_user(R"({"a":[[[[{"b":)").is_accepted);
  ASSERT_FALSE(update_user(R"({"a":1e400})").is_accepted);

  const auto outcome = decode_update_user(R"({"email":"a@b.c"})");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->email, "a@b.c");
}

/// A second, independent judge: simdjson's DOM validates whole documents eagerly. Mutated bodies without
/// large integers, surrogates, NULs and duplicates must meet the same verdict from both.
TEST(strictness, agrees_with_an_eager_parser_about_mutated_bodies) {
  const std::string seeds[] = {
      R"({"a":[1,2.5,-3e2,true,false,null],"b":{"c":"d\n\"","e":{}},"f":[]})",
      R"({"email":"a@b.c","data":{"x":[[],{},"y",[1,[2,[3]]]],"z":"\u00e9"},"w":0})",
      "{ \"a\" : [ 1 , { \"b\" : null } ] ,\n \"c\" : \"\xC3\xA9\" }",
  };
  constexpr std::string_view alphabet = "{}[],:\"\\ 01-.eEtfn\n/a\xC3\xA9";
  std::mt19937 random{20261122};
  simdjson::dom::parser eager;
  const auto pick = [&](std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>{0, bound - 1}(random);
  };
  int accepted = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::string body = seeds[pick(std::size(seeds))];
    for (std::size_t edits = 1 + pick(3); edits > 0 && !body.empty(); --edits) {
      const std::size_t at = pick(body.size());
      switch (pick(4)) {
        case 0:
          body[at] = alphabet[pick(alphabet.size())];
          break;
        case 1:
          body.erase(at, 1 + pick(4));
          break;
        case 2:
          body.insert(at, 1, alphabet[pick(alphabet.size())]);
          break;
        default:
          body.insert(at, body.substr(pick(body.size()), 1 + pick(12)));
          break;
      }
    }
    if (body.empty()) continue;

    simdjson::dom::element root;
    const bool is_json = eager.parse(body).get(root) == simdjson::SUCCESS && root.is_object();
    const auto outcome = decode_refresh_grant(body);
    // This decoder has one required member: a body it could read is refused for that member's sake only.
    const bool was_read = outcome.has_value() || outcome.error().code == &codes::validation_failed;
    if (was_read) {
      EXPECT_TRUE(is_json) << body;
      ++accepted;
    } else if (is_json) {
      // Only our own additional rules may explain it.
      const std::string& why = outcome.error().detail;
      EXPECT_TRUE(why.find("repeat") != std::string::npos || why.find("double") != std::string::npos ||
                  why.find("U+0000") != std::string::npos)
          << body << " " << why;
    }
  }
  EXPECT_GT(accepted, 3'000);
}

TEST(strictness, token_payloads_meet_the_same_rules_and_call_every_error_bad_jwt) {
  const std::string good =
      R"({"sub":"11111111-2222-4333-8444-555555555555","session_id":"01939393-2222-7333-8444-555555555555","iat":1,"aal":"aal2")";
  ASSERT_TRUE(verdict_of(decode_token_subject(good + "}")).is_accepted);
  for (const std::string_view end :
       {"", "}}", R"(,"x":1e400})", R"(,"sub":"x"})", R"(,"y":"\ud800"})", R"(,"z":[})"}) {
    const auto outcome = verdict_of(decode_token_subject(good + std::string{end}));
    EXPECT_FALSE(outcome.is_accepted) << end;
    EXPECT_EQ(outcome.code, "bad_jwt") << end;
  }
}

}  // namespace
}  // namespace pam::protocol
