#include "server/net/tls_buffers.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <set>

#include <gtest/gtest.h>

namespace pam::net {
namespace {

void* take(std::size_t size) {
  return detail::allocate(size, "", 0);
}

void give(void* memory) {
  detail::release(memory, "", 0);
}

TEST(tls_buffers, serve_the_last_one_given_back_first) {
  void* const reading = take(16'709);
  void* const writing = take(16'497);
  give(reading);
  give(writing);

  // Another size of the same kind: what was given back serves it.
  EXPECT_EQ(take(16'900), writing);
  EXPECT_EQ(take(16'384), reading);
  give(reading);
  give(writing);
}

TEST(tls_buffers, keep_no_more_than_they_say) {
  std::array<void*, tls_buffers_kept + 4> all{};
  for (void*& each : all) each = take(17'000);
  for (void* each : all) give(each);

  std::set<void*> again;
  for (void*& each : all) again.insert(each = take(17'000));
  for (std::size_t i = 0; i < tls_buffers_kept; ++i) EXPECT_EQ(all[i], *again.find(all[i]));
  EXPECT_EQ(again.size(), all.size());  // no buffer twice
  for (void* each : all) give(each);
}

TEST(tls_buffers, keep_some_small_blocks_of_one_size) {
  std::array<void*, small_blocks_kept + 4> all{};
  for (void*& each : all) each = take(40);
  for (void* each : all) give(each);

  // The last one kept comes first, whatever of the range is wanted.
  EXPECT_EQ(take(25), all[small_blocks_kept - 1]);
  void* const next = take(40);
  EXPECT_EQ(next, all[small_blocks_kept - 2]);
  std::memset(next, 'x', 40);
  for (const std::size_t size : {std::size_t{24}, std::size_t{41}}) {
    void* const other = take(size);
    EXPECT_EQ(std::find(all.begin(), all.begin() + small_blocks_kept, other), all.begin() + small_blocks_kept)
        << size;
    give(other);
  }
  give(next);
  give(all[small_blocks_kept - 1]);
}

TEST(tls_buffers, leave_other_sizes_to_malloc) {
  void* const buffer = take(17'000);
  give(buffer);
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{16'383}, std::size_t{18'433}, std::size_t{65'536}}) {
    void* const other = take(size);
    EXPECT_NE(other, buffer) << size;
    give(other);
  }
  give(nullptr);
  EXPECT_EQ(take(17'000), buffer);
  give(buffer);
}

}  // namespace
}  // namespace pam::net
