#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

namespace pam::runtime {

/// Counts of a `latency_histogram` at one moment; those of several shards add up.
///
/// Buckets are log-linear: 8 steps for each power of two from 1 microsecond to 2^27 (134 s), so a
/// quantile is at most 12.5 % too high. Bucket i counts times in (upper(i-1), upper(i)], so every
/// upper edge is an exact `le` of Prometheus.
struct histogram_snapshot {
  static constexpr std::size_t steps = 8;
  static constexpr std::size_t bucket_count =
      steps + (27 - 3) * steps + 1;  ///< the last: longer than 2^27 us

  std::array<std::uint64_t, bucket_count> buckets{};
  std::chrono::nanoseconds sum{0};

  histogram_snapshot& operator+=(const histogram_snapshot& other);
  [[nodiscard]] std::uint64_t count() const;
  /// Times of at most `bound`. Exact for bounds that are upper edges: every power of two of microseconds.
  [[nodiscard]] std::uint64_t at_most(std::chrono::microseconds bound) const;
  /// Upper edge of the bucket the q-th of all times is in, q in [0, 1]; 0 when there is none,
  /// 2^27 us for whatever took longer.
  [[nodiscard]] std::chrono::microseconds quantile(double q) const;

  [[nodiscard]] static std::size_t bucket_of(std::chrono::nanoseconds time);
  [[nodiscard]] static std::chrono::microseconds upper(std::size_t bucket);
};

/// Times of one kind of work on one shard: 1.6 KiB, two additions a record, no lock, no allocation. The shard
/// records, any thread may read.
class latency_histogram {
 public:
  /// Negative times count as 0.
  void record(std::chrono::nanoseconds time);
  [[nodiscard]] histogram_snapshot snapshot() const;

 private:
  std::array<std::atomic<std::uint64_t>, histogram_snapshot::bucket_count> buckets_{};
  std::atomic<std::uint64_t> sum_{0};  // nanoseconds: 584 years
};

struct metric_label {
  std::string_view name;
  std::string_view value;
};
using metric_labels = std::initializer_list<metric_label>;

/// Collects the samples of one scrape and renders them in the text format 0.0.4 of Prometheus
/// (prometheus.io/docs/instrumenting/exposition_formats). No registry: whoever has counters writes them.
///
/// Samples of a family stand together whatever the order of calls, so each shard may write its own.
/// Names are snake_case with unit and, for counters, `_total`: pam_http_requests_total. Bounded: a label
/// value is cut after 128 bytes, a family takes 1,000 samples; more are dropped and counted in
/// pam_metrics_dropped_samples. The same labels twice in a family is the caller's bug.
/// One thread, one scrape.
class metrics_writer {
 public:
  static constexpr std::size_t sample_limit = 1'000;
  static constexpr std::size_t label_value_limit = 128;
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

  template <std::unsigned_integral T>
  void counter(std::string_view name, std::string_view help, T value, metric_labels labels = {}) {
    sample(name, help, "counter", integer(value), labels);
  }
  void counter(std::string_view name, std::string_view help, double value, metric_labels labels = {});
  template <std::integral T>
  void gauge(std::string_view name, std::string_view help, T value, metric_labels labels = {}) {
    sample(name, help, "gauge", integer(value), labels);
  }
  void gauge(std::string_view name, std::string_view help, double value, metric_labels labels = {});
  /// Seconds, with a bucket for every power of two from 128 us to 67 s.
  void histogram(std::string_view name, std::string_view help, const histogram_snapshot& times,
                 metric_labels labels = {});

  /// Everything, families in the order of their first sample. Once.
  [[nodiscard]] std::string take();

 private:
  struct family {
    std::string text;
    std::string_view type;
    std::size_t samples = 0;
  };

  template <std::integral T>
  static std::string integer(T value) {
    return std::to_string(value);
  }

  /// The family to write a sample into, or null when it is full or has another type.
  family* open(std::string_view name, std::string_view help, std::string_view type);
  void sample(std::string_view name, std::string_view help, std::string_view type, const std::string& value,
              metric_labels labels);

  std::deque<family> families_;  // stable addresses
  std::map<std::string, family*, std::less<>> by_name_;
  std::uint64_t dropped_ = 0;
};

}  // namespace pam::runtime
