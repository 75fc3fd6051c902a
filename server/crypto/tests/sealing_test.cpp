#include "server/crypto/sealing.hpp"

#include <gmock/gmock.h>

#include <set>

#include "server/crypto/tests/support.hpp"

namespace pam::crypto {
namespace {

using test::key;
using test::key_set;
using ::testing::HasSubstr;

constexpr std::string_view row = "factors.secret 0198f0a0";

std::string seal_key(std::string_view kid, std::string_view state,
                     std::string_view members = test::refresh_members) {
  return key(members, "seal", state, "\"kid\":\"" + std::string{kid} + "\"");
}
sealer sealer_of(const std::string& set) {
  auto made = sealer::parse(set);
  EXPECT_TRUE(made.has_value()) << made.error().detail;
  return std::move(made.value());
}
sealer plain_sealer() {
  return sealer_of(key_set({seal_key("5", "current")}));
}
std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span{text});
}

TEST(sealing, what_was_sealed_opens_again) {
  const auto box = plain_sealer();
  for (const std::string& text :
       {std::string{}, std::string{"JBSWY3DPEHPK3PXP"}, std::string(100'000, 'x')}) {
    const auto sealed = box.seal(bytes(text), row);
    EXPECT_EQ(sealed.size(), text.size() + sealing_overhead);

    const auto opened = box.open(sealed, row);

    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(opened->view(), text);
  }
}

TEST(sealing, the_header_names_version_and_key) {
  const auto sealed = sealer_of(key_set({seal_key("66051", "current")})).seal(bytes("x"), row);
  EXPECT_EQ(sealed[0], std::byte{1});
  EXPECT_EQ(sealed[1], std::byte{1});
  EXPECT_EQ(sealed[2], std::byte{2});
  EXPECT_EQ(sealed[3], std::byte{3});
}

TEST(sealing, the_plain_text_does_not_show_and_no_two_sealings_are_alike) {
  const auto box = plain_sealer();
  std::set<std::vector<std::byte>> seen;
  for (int i = 0; i < 100; ++i) seen.insert(box.seal(bytes("JBSWY3DPEHPK3PXP"), row));

  EXPECT_EQ(seen.size(), 100U);
  for (const auto& each : seen) {
    const std::string_view text{reinterpret_cast<const char*>(each.data()), each.size()};
    EXPECT_EQ(text.find("JBSW"), std::string_view::npos);
  }
}

TEST(sealing, any_flipped_bit_is_noticed) {
  const auto box = plain_sealer();
  auto sealed = box.seal(bytes("JBSWY3DPEHPK3PXP"), row);
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1 << (bit % 8));
    sealed[bit / 8] ^= mask;
    EXPECT_TRUE(box.open(sealed, row).has_error()) << bit;
    sealed[bit / 8] ^= mask;
  }
  EXPECT_TRUE(box.open(sealed, row).has_value());
}

TEST(sealing, a_value_moved_to_another_row_does_not_open) {
  const auto box = plain_sealer();
  const auto sealed = box.seal(bytes("secret"), row);
  EXPECT_EQ(box.open(sealed, "factors.secret 0198f0a1").error().code, errc::failure);
  EXPECT_EQ(box.open(sealed, "").error().code, errc::failure);
}

TEST(sealing, a_cut_value_does_not_open) {
  const auto box = plain_sealer();
  const auto sealed = box.seal(bytes("secret"), row);
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_EQ(box.open(std::span{sealed}.first(size), row).error().code, errc::failure) << size;
  }
}

TEST(sealing, after_a_rotation_old_values_open_and_ask_to_be_sealed_again) {
  const auto old_value = plain_sealer().seal(bytes("secret"), row);
  const auto rotated =
      sealer_of(key_set({seal_key("5", "previous"), seal_key("6", "current", test::other_refresh_members)}));

  EXPECT_EQ(rotated.open(old_value, row)->view(), "secret");
  EXPECT_TRUE(rotated.needs_reseal(old_value));
  EXPECT_FALSE(rotated.needs_reseal(rotated.seal(bytes("secret"), row)));
  EXPECT_FALSE(rotated.needs_reseal({}));
}

TEST(sealing, a_value_under_a_key_that_is_gone_names_the_key) {
  const auto sealed = plain_sealer().seal(bytes("secret"), row);
  const auto other = sealer_of(key_set({seal_key("6", "current")}));

  const auto opened = other.open(sealed, row);

  EXPECT_EQ(opened.error().code, errc::unknown_key);
  EXPECT_THAT(opened.error().detail, HasSubstr("key 5"));
}

TEST(sealing, the_same_key_id_with_another_key_does_not_open) {
  const auto sealed = plain_sealer().seal(bytes("secret"), row);
  const auto other = sealer_of(key_set({seal_key("5", "current", test::other_refresh_members)}));
  EXPECT_EQ(other.open(sealed, row).error().code, errc::failure);
}

TEST(sealing, a_generated_key_file_works_and_is_never_the_same) {
  const secret text = sealer::generate();
  const auto first = sealer_of(std::string{text.view()});
  const auto second = sealer_of(std::string{sealer::generate().view()});
  const auto sealed = first.seal(bytes("secret"), row);

  EXPECT_EQ(first.open(sealed, row)->view(), "secret");
  EXPECT_TRUE(second.open(sealed, row).has_error());
}

TEST(sealing, keys_for_other_uses_are_refused) {
  EXPECT_EQ(sealer::parse(test::standard_set()).error().code, errc::bad_key);
  EXPECT_EQ(sealer::parse("{\"keys\":[]}").error().code, errc::bad_key);
}

TEST(sealing, a_missing_file_is_named) {
  EXPECT_THAT(sealer::load("/nonexistent/kek.json").error().detail, HasSubstr("/nonexistent/kek.json"));
}

}  // namespace
}  // namespace pam::crypto
