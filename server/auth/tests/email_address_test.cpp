#include "server/auth/email_address.hpp"

#include <gtest/gtest.h>

namespace pam::auth {
namespace {

std::string canonical(std::string_view text) {
  const auto found = canonical_email(text);
  EXPECT_TRUE(found.has_value()) << text << ": " << found.error().reason;
  return found.has_value() ? *found : std::string{};
}
subject_fault fault_of(std::string_view text) {
  const auto found = canonical_email(text);
  EXPECT_TRUE(found.has_error()) << text << " became " << *found;
  return found.has_error() ? found.error().fault : subject_fault{255};
}

TEST(email_address, a_plain_address_is_its_own_canonical_form) {
  for (const char* text : {"anna@example.com", "a@b.co", "first.last+tag@sub.example.org",
                           "o'neill@example.ie", "!#$%&'*+-/=?^_`{|}~@example.com", "1@1.example"}) {
    EXPECT_EQ(canonical(text), text);
  }
}

TEST(email_address, outer_white_space_and_upper_case_go) {
  EXPECT_EQ(canonical(" \t\r\nAnna.Schmidt@Example.COM \n"), "anna.schmidt@example.com");
}

TEST(email_address, a_decomposed_local_part_is_composed) {
  EXPECT_EQ(canonical("rene\xcc\x81@example.com"), "ren\xc3\xa9@example.com");
  EXPECT_EQ(canonical("REN\xc3\x89@example.com"), "ren\xc3\xa9@example.com");
}

TEST(email_address, other_scripts_are_lower_cased_too) {
  EXPECT_EQ(canonical("\xd0\x90\xd0\x9d\xd0\x9d\xd0\x90@example.com"),
            "\xd0\xb0\xd0\xbd\xd0\xbd\xd0\xb0@example.com");
  EXPECT_EQ(canonical("\xe7\x94\xa8\xe6\x88\xb7@example.com"), "\xe7\x94\xa8\xe6\x88\xb7@example.com");
}

TEST(email_address, an_international_domain_becomes_its_a_labels) {
  EXPECT_EQ(canonical("info@B\xc3\xbc"
                      "cher.example"),
            "info@xn--bcher-kva.example");
  EXPECT_EQ(canonical("info@bu\xcc\x88"
                      "cher.example"),
            "info@xn--bcher-kva.example");
  EXPECT_EQ(canonical("info@XN--BCHER-KVA.example"), "info@xn--bcher-kva.example");
}

TEST(email_address, a_sharp_s_is_kept_as_idna_2008_asks) {
  EXPECT_EQ(canonical("info@stra\xc3\x9f"
                      "e.example"),
            "info@xn--strae-oqa.example");
}

TEST(email_address, the_canonical_form_is_a_fixed_point) {
  for (const char* text :
       {"Anna@Example.com",
        "REN\xc3\x89@B\xc3\x9c"
        "CHER.example",
        "\xce\xa3\xce\x91\xce\xa3@example.gr", "\xc4\xb0stanbul@example.com", "\xef\xac\x81@example.com"}) {
    const std::string once = canonical(text);
    EXPECT_EQ(canonical(once), once) << text;
  }
}

TEST(email_address, nothing_is_refused_as_empty) {
  EXPECT_EQ(fault_of(""), subject_fault::empty);
  EXPECT_EQ(fault_of(" \t\n"), subject_fault::empty);
}

TEST(email_address, text_of_another_form_is_refused) {
  for (const char* text :
       {"anna", "@", "anna@", "@example.com", ".anna@example.com", "anna.@example.com", "an..na@example.com",
        "an na@example.com", "anna@home@example.com", "\"anna\"@example.com", "an,na@example.com",
        "anna(comment)@example.com", "Anna <anna@example.com>", "an\\na@example.com", "a:b@example.com"}) {
    EXPECT_EQ(fault_of(text), subject_fault::syntax) << text;
  }
}

TEST(email_address, a_domain_that_receives_no_mail_is_refused) {
  for (const char* text : {"anna@localhost", "anna@example.com.", "anna@.example.com", "anna@example..com",
                           "anna@-example.com", "anna@example-.com", "anna@exa_mple.com", "anna@[192.0.2.1]",
                           "anna@192.0.2.1", "anna@example.123", "anna@exa!mple.com", "anna@xn--a.example"}) {
    EXPECT_EQ(fault_of(text), subject_fault::domain) << text;
  }
}

TEST(email_address, invisible_characters_are_refused) {
  for (const std::string& text :
       {std::string{"an\0na@example.com", 17}, std::string{"an\nna@example.com"},
        std::string{"an\x7fna@example.com"}, std::string{"an\xe2\x80\x8bna@example.com"},  // zero width space
        std::string{"an\xe2\x80\xaena@example.com"},  // right-to-left override
        std::string{"an\xc2\xa0na@example.com"},      // no-break space
        std::string{"an\xee\x80\x80na@example.com"},  // private use
        std::string{"anna@exam\xe2\x80\x8dple.com"}}) {
    EXPECT_EQ(fault_of(text), subject_fault::encoding) << text;
  }
}

TEST(email_address, invalid_utf8_is_refused) {
  for (const char* text :
       {"\xff@example.com", "a\xc3@example.com", "a\xed\xa0\x80@example.com", "a\xc0\xaf@example.com"}) {
    EXPECT_EQ(fault_of(text), subject_fault::encoding);
  }
}

TEST(email_address, the_local_part_has_at_most_64_bytes) {
  EXPECT_EQ(canonical(std::string(64, 'a') + "@example.com").size(), 76U);
  EXPECT_EQ(fault_of(std::string(65, 'a') + "@example.com"), subject_fault::too_long);
}

TEST(email_address, the_whole_has_at_most_255_bytes) {
  const std::string label(62, 'b');
  const std::string tail = "@" + label + "." + label + "." + label + ".example";
  const std::string longest = std::string(255 - tail.size(), 'a') + tail;
  EXPECT_EQ(canonical(longest), longest);
  EXPECT_EQ(fault_of("a" + longest), subject_fault::too_long);
  EXPECT_EQ(fault_of(std::string(100'000, 'a')), subject_fault::too_long);
}

TEST(email_address, a_label_has_at_most_63_bytes) {
  EXPECT_EQ(canonical("a@" + std::string(63, 'b') + ".example").size(), 73U);
  EXPECT_EQ(fault_of("a@" + std::string(64, 'b') + ".example"), subject_fault::domain);
}

TEST(email_address, a_refusal_never_repeats_the_address) {
  EXPECT_EQ(canonical_email("anna..schmidt@example.com").error().reason.find("anna"), std::string_view::npos);
}

}  // namespace
}  // namespace pam::auth
