#include "protocol/sensitive.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

namespace pam::protocol {
namespace {

static_assert(!std::is_copy_constructible_v<sensitive> && !std::is_copy_assignable_v<sensitive>);
static_assert(std::is_nothrow_move_constructible_v<sensitive> &&
              std::is_nothrow_move_assignable_v<sensitive>);

/// The bytes of the object itself, where a short string keeps its text.
bool holds(const sensitive& value, std::string_view text) {
  std::array<char, sizeof(sensitive)> image;
  std::memcpy(image.data(), static_cast<const void*>(&value), image.size());
  return std::string_view{image.data(), image.size()}.find(text) != std::string_view::npos;
}

TEST(sensitive, gives_its_text_to_the_object_it_is_moved_to) {
  for (const std::string& text : {std::string{"short"}, std::string(500, 'x')}) {
    sensitive first{text};
    sensitive second{std::move(first)};
    sensitive third;
    third = std::move(second);

    EXPECT_EQ(third.view(), text);
    EXPECT_TRUE(first.empty());   // NOLINT(bugprone-use-after-move): the state after a move is the subject
    EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move)
  }
}

TEST(sensitive, leaves_no_short_text_behind_when_it_is_moved_from) {
  sensitive first{"hunter2hunter2"};
  ASSERT_TRUE(holds(first, "hunter2"));

  sensitive second{std::move(first)};
  EXPECT_FALSE(holds(first, "hunter2"));  // NOLINT(bugprone-use-after-move)

  sensitive third{"old-secret"};
  third = std::move(second);
  EXPECT_FALSE(holds(second, "hunter2"));  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(holds(third, "old-secret"));
  EXPECT_EQ(third.view(), "hunter2hunter2");
}

TEST(sensitive, survives_assignment_to_itself) {
  sensitive value{"secret"};
  sensitive& same = value;
  value = std::move(same);
  EXPECT_EQ(value.view(), "secret");
}

}  // namespace
}  // namespace pam::protocol
