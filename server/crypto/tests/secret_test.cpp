#include "server/crypto/secret.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <new>
#include <type_traits>

namespace pam::crypto {
namespace {

constexpr std::string_view short_text = "hunter2";  // lives inside the object

template <class T>
concept printable = requires(std::ostream& out, const T& value) { out << value; };

static_assert(!std::is_copy_constructible_v<secret> && !std::is_copy_assignable_v<secret>);
static_assert(std::is_nothrow_move_constructible_v<secret>);
static_assert(!printable<secret>);

bool holds(const unsigned char* memory, std::size_t size, std::string_view text) {
  return memmem(memory, size, text.data(), text.size()) != nullptr;
}

TEST(secret, destruction_leaves_nothing_in_the_object) {
  alignas(secret) unsigned char storage[sizeof(secret)] = {};
  auto* value = new (storage) secret{short_text};
  ASSERT_TRUE(holds(storage, sizeof storage, short_text));

  value->~secret();

  EXPECT_FALSE(holds(storage, sizeof storage, short_text));
}

TEST(secret, a_move_leaves_nothing_in_the_source) {
  alignas(secret) unsigned char storage[sizeof(secret)] = {};
  auto* source = new (storage) secret{short_text};

  const secret target{std::move(*source)};

  EXPECT_FALSE(holds(storage, sizeof storage, short_text));
  EXPECT_EQ(target.view(), short_text);
  source->~secret();
}

TEST(secret, assignment_wipes_both_the_old_value_and_the_source) {
  alignas(secret) unsigned char storage[sizeof(secret)] = {};
  auto* target = new (storage) secret{short_text};
  secret source{std::string_view{"sesame"}};

  *target = std::move(source);

  EXPECT_FALSE(holds(storage, sizeof storage, short_text));
  EXPECT_EQ(target->view(), "sesame");
  EXPECT_TRUE(source.empty());
  target->~secret();
}

TEST(secret, a_clone_is_a_second_owner) {
  secret first{short_text};
  const secret second = first.clone();

  first = secret{};

  EXPECT_EQ(second.view(), short_text);
  EXPECT_TRUE(first.empty());
}

TEST(secret, long_values_and_bytes_survive_moves) {
  const std::string text(1000, '\xA5');
  secret first{std::as_bytes(std::span{text})};

  const secret second{std::move(first)};

  EXPECT_EQ(second.view(), text);
  EXPECT_EQ(second.size(), 1000U);
  EXPECT_EQ(second.bytes().size(), 1000U);
}

TEST(secret, equality_compares_bytes_and_lengths) {
  const secret a{std::string_view{"abc"}};
  const secret b{std::string_view{"abd"}};
  const secret c{std::string_view{"ab"}};

  EXPECT_TRUE(equal(a.bytes(), a.clone().bytes()));
  EXPECT_FALSE(equal(a.bytes(), b.bytes()));
  EXPECT_FALSE(equal(a.bytes(), c.bytes()));
  EXPECT_TRUE(equal({}, {}));
}

TEST(secret, wiping_overwrites_memory) {
  std::array<unsigned char, 64> memory = {};
  memory.fill(0x5A);

  wipe(memory.data(), memory.size());

  EXPECT_EQ(std::ranges::count(memory, 0), 64);
}

}  // namespace
}  // namespace pam::crypto
