#include "server/crypto/detail/hash_memory.hpp"

#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <sodium.h>

#include "server/crypto/password_hash.hpp"

namespace pam::crypto {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif

constexpr std::size_t hash_size = std::size_t{19'456} * 1024;

std::string argon2id(std::string_view password) {
  std::array<unsigned char, 32> tag{};
  const std::array<unsigned char, crypto_pwhash_SALTBYTES> salt{7};
  EXPECT_EQ(crypto_pwhash(tag.data(), tag.size(), password.data(), password.size(), salt.data(), 2, hash_size,
                          crypto_pwhash_ALG_ARGON2ID13),
            0);
  return {reinterpret_cast<const char*>(tag.data()), tag.size()};
}

void* map_memory(std::size_t size) {
  return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/// Pages of this process that are in memory now.
std::size_t resident_pages() {
  std::ifstream statm{"/proc/self/statm"};
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident;
}

// What a hash leaves behind must not change the next one.
TEST(hash_memory, gives_the_same_hashes_as_fresh_memory) {
  const std::string first = argon2id("correct horse");
  const std::string second = argon2id("battery staple");
  for (int round = 0; round < 3; ++round) {
    const detail::hash_memory::use kept;
    EXPECT_EQ(argon2id("correct horse"), first);
    EXPECT_EQ(argon2id("battery staple"), second);
  }
  detail::hash_memory::drop();
}

TEST(hash_memory, stays_with_the_thread_until_dropped) {
  const std::size_t before = resident_pages();
  ASSERT_TRUE(hash_password(secret{std::string_view{"correct horse"}}, {}).has_value());
  const std::size_t kept = resident_pages();
  detail::hash_memory::drop();
  const std::size_t after = resident_pages();

  constexpr std::size_t hash_pages = hash_size / 4096;
  if (!is_sanitized) EXPECT_GE(kept, before + hash_pages);
  EXPECT_LT(after, before + hash_pages / 2);
}

TEST(hash_memory, serves_one_mapping_at_a_time_and_only_while_in_use) {
  void* first = nullptr;
  {
    const detail::hash_memory::use kept;
    first = map_memory(hash_size);
    ASSERT_NE(first, MAP_FAILED);
    void* const second = map_memory(hash_size);
    ASSERT_NE(second, MAP_FAILED);
    EXPECT_NE(second, first);
    std::memset(second, 1, hash_size);
    EXPECT_EQ(::munmap(second, hash_size), 0);
    std::memset(first, 1, hash_size);
    EXPECT_EQ(::munmap(first, hash_size), 0);

    void* const again = map_memory(hash_size / 2);
    if (!is_sanitized) EXPECT_EQ(again, first);
    EXPECT_EQ(::munmap(again, hash_size / 2), 0);
  }
  void* const outside = map_memory(hash_size);
  ASSERT_NE(outside, MAP_FAILED);
  if (!is_sanitized) EXPECT_NE(outside, first);
  EXPECT_EQ(*static_cast<const char*>(outside), 0);
  EXPECT_EQ(::munmap(outside, hash_size), 0);
  detail::hash_memory::drop();
}

}  // namespace
}  // namespace pam::crypto
