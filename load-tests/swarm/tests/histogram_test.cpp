#include "load-tests/swarm/histogram.hpp"

#include <gtest/gtest.h>

namespace pam::load {
namespace {

using std::chrono::microseconds;

TEST(histogram, a_bucket_is_never_wider_than_a_64th_of_its_value) {
  for (std::uint64_t value = 1; value < (std::uint64_t{1} << 36); value = value * 9 / 8 + 1) {
    const std::uint64_t greatest = histogram::greatest_in(histogram::bucket_of(value));
    EXPECT_GE(greatest, value);
    EXPECT_LE(greatest - value, value / 64) << value;
  }
}

TEST(histogram, buckets_follow_one_another_without_a_gap) {
  for (std::size_t i = 0; i + 1 < histogram::buckets; ++i) {
    EXPECT_EQ(histogram::bucket_of(histogram::greatest_in(i)), i);
    EXPECT_EQ(histogram::bucket_of(histogram::greatest_in(i) + 1), i + 1);
  }
}

TEST(histogram, quantiles_of_a_known_series) {
  histogram of;
  for (int i = 1; i <= 1000; ++i) of.add(microseconds{i * 100});
  EXPECT_NEAR(static_cast<double>(of.quantile(0.5).count()), 50'000, 50'000.0 / 64);
  EXPECT_NEAR(static_cast<double>(of.quantile(0.99).count()), 99'000, 99'000.0 / 64);
  EXPECT_EQ(of.quantile(1), microseconds{100'000});
}

TEST(histogram, an_empty_one_has_quantile_zero) {
  EXPECT_EQ(histogram{}.quantile(0.99), microseconds{0});
}

TEST(histogram, merging_counts_both) {
  histogram one;
  histogram other;
  one.add(microseconds{10});
  other.add(microseconds{1'000'000});
  one.merge(other);
  EXPECT_EQ(one.count(), 2U);
  EXPECT_EQ(one.quantile(0.5), microseconds{10});
  EXPECT_EQ(one.max(), microseconds{1'000'000});
}

}  // namespace
}  // namespace pam::load
