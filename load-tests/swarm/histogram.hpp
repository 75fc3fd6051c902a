#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace pam::load {

/// Latencies in microseconds, in buckets whose width is at most 1/64 of their value (as in HdrHistogram):
/// exact below 128 us, never more than 1.6 % too high above, up to 2^36 us.
class histogram {
 public:
  static constexpr std::size_t sub_buckets = 64;
  static constexpr std::size_t buckets = sub_buckets * 31;

  void add(std::chrono::microseconds value);
  void merge(const histogram& other);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::chrono::microseconds max() const { return max_; }
  /// The upper bound of the bucket that holds the share `q` (0 to 1) of all values; 0 when there is none.
  [[nodiscard]] std::chrono::microseconds quantile(double q) const;
  [[nodiscard]] std::uint64_t count_in(std::size_t bucket) const { return counts_[bucket]; }

  /// The bucket of a value, and the greatest value of a bucket.
  static std::size_t bucket_of(std::uint64_t microseconds);
  static std::uint64_t greatest_in(std::size_t bucket);

 private:
  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0;
  std::chrono::microseconds max_{0};
};

}  // namespace pam::load
