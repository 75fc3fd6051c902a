#include "server/auth/phone_number.hpp"

#include <gtest/gtest.h>

namespace pam::auth {
namespace {

std::string canonical(std::string_view text) {
  const auto found = canonical_phone(text);
  EXPECT_TRUE(found.has_value()) << text;
  return found.has_value() ? *found : std::string{};
}
subject_fault fault_of(std::string_view text) {
  const auto found = canonical_phone(text);
  EXPECT_TRUE(found.has_error()) << text << " became " << *found;
  return found.has_error() ? found.error().fault : subject_fault{255};
}

TEST(phone_number, every_way_to_write_the_country_code_gives_one_form) {
  for (const char* text : {"+15551234567", "0015551234567", "15551234567"}) {
    EXPECT_EQ(canonical(text), "+15551234567") << text;
  }
}

TEST(phone_number, separators_go) {
  EXPECT_EQ(canonical(" +49 (30) 1234-56.78 "), "+493012345678");
}

TEST(phone_number, the_canonical_form_is_a_fixed_point) {
  EXPECT_EQ(canonical(canonical("00 49 30 123456")), "+4930123456");
}

TEST(phone_number, seven_to_fifteen_digits_are_accepted) {
  EXPECT_EQ(canonical("+1234567"), "+1234567");
  EXPECT_EQ(canonical("+123456789012345"), "+123456789012345");
  EXPECT_EQ(fault_of("+123456"), subject_fault::syntax);
  EXPECT_EQ(fault_of("+1234567890123456"), subject_fault::too_long);
}

TEST(phone_number, a_country_code_never_begins_with_0) {
  EXPECT_EQ(fault_of("+0301234567"), subject_fault::syntax);
  EXPECT_EQ(fault_of("0301234567"), subject_fault::syntax);
  EXPECT_EQ(fault_of("000301234567"), subject_fault::syntax);
}

TEST(phone_number, nothing_is_refused_as_empty) {
  EXPECT_EQ(fault_of(""), subject_fault::empty);
  EXPECT_EQ(fault_of("  "), subject_fault::empty);
}

TEST(phone_number, anything_else_is_refused) {
  for (const std::string& text :
       {std::string{"+"}, std::string{"++15551234567"}, std::string{"+1555CALLNOW"},
        std::string{"+1555123456x7"}, std::string{"+1(555(1234567"}, std::string{"+1)555(1234567"},
        std::string{"+1(5551234567"}, std::string{"+1555\t1234567"},
        std::string{"+1555\0"
                    "1234567",
                    13},
        std::string{"+\xd9\xa1\xd9\xa2\xd9\xa3"
                    "4567890"},
        std::string{"()-. "}}) {
    EXPECT_EQ(fault_of(text), subject_fault::syntax) << text;
  }
}

TEST(phone_number, endless_text_is_refused) {
  EXPECT_EQ(fault_of(std::string(100'000, '1')), subject_fault::too_long);
  EXPECT_EQ(fault_of("+1555123456" + std::string(100, ' ') + "7"), subject_fault::too_long);
}

}  // namespace
}  // namespace pam::auth
