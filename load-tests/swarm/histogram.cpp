#include "load-tests/swarm/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pam::load {

std::size_t histogram::bucket_of(std::uint64_t microseconds) {
  if (microseconds < sub_buckets) return static_cast<std::size_t>(microseconds);
  // The seven highest bits decide: the leading one names the power of two, six its 64th parts.
  const auto shift = static_cast<std::size_t>(std::bit_width(microseconds)) - 7;
  const auto part = static_cast<std::size_t>(microseconds >> shift) - sub_buckets;
  return std::min(sub_buckets * (shift + 1) + part, buckets - 1);
}

std::uint64_t histogram::greatest_in(std::size_t bucket) {
  if (bucket < sub_buckets) return bucket;
  const std::size_t shift = bucket / sub_buckets - 1;
  return ((std::uint64_t{sub_buckets} + bucket % sub_buckets + 1) << shift) - 1;
}

void histogram::add(std::chrono::microseconds value) {
  value = std::max(value, std::chrono::microseconds{0});
  ++counts_[bucket_of(static_cast<std::uint64_t>(value.count()))];
  ++count_;
  max_ = std::max(max_, value);
}

void histogram::merge(const histogram& other) {
  for (std::size_t i = 0; i < buckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

std::chrono::microseconds histogram::quantile(double q) const {
  if (count_ == 0) return std::chrono::microseconds{0};
  const double wanted = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_));
  const auto rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(wanted));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets; ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(std::chrono::microseconds{greatest_in(i)}, max_);
  }
  return max_;
}

}  // namespace pam::load
