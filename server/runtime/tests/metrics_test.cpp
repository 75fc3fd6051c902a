#include "server/runtime/metrics.hpp"

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

namespace pam::runtime {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::size_t occurrences(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(metrics, a_family_has_one_help_and_type_whatever_the_order_of_its_samples) {
  metrics_writer out;
  out.counter("pam_http_requests_total", "Answered requests", std::uint64_t{17},
              {{"route", "/token"}, {"status", "200"}});
  out.gauge("pam_connections", "Open connections", 5);
  out.counter("pam_http_requests_total", "Answered requests", std::uint64_t{3},
              {{"route", "/user"}, {"status", "401"}});

  EXPECT_THAT(out.take(), StartsWith("# HELP pam_http_requests_total Answered requests\n"
                                     "# TYPE pam_http_requests_total counter\n"
                                     "pam_http_requests_total{route=\"/token\",status=\"200\"} 17\n"
                                     "pam_http_requests_total{route=\"/user\",status=\"401\"} 3\n"
                                     "# HELP pam_connections Open connections\n"
                                     "# TYPE pam_connections gauge\n"
                                     "pam_connections 5\n"));
}

TEST(metrics, labels_and_help_are_escaped) {
  metrics_writer out;
  out.gauge("pam_x", "a\\b\n\"c\"", 1, {{"l", "a\\b\n\"c\"\xff"}});

  const std::string text = out.take();
  EXPECT_THAT(text, HasSubstr("# HELP pam_x a\\\\b\\n\"c\"\n"));
  EXPECT_THAT(text, HasSubstr("pam_x{l=\"a\\\\b\\n\\\"c\\\"\xef\xbf\xbd\"} 1\n"));
}

TEST(metrics, numbers_keep_their_value) {
  metrics_writer out;
  out.counter("pam_a_total", "a", std::numeric_limits<std::uint64_t>::max());
  out.gauge("pam_b", "b", -5);
  out.gauge("pam_c", "c", 0.1);
  out.gauge("pam_d", "d", std::numeric_limits<double>::quiet_NaN());
  out.gauge("pam_e", "e", -std::numeric_limits<double>::infinity());
  out.counter("pam_f_seconds_total", "f", 1e-9);

  const std::string text = out.take();
  EXPECT_THAT(text, HasSubstr("\npam_a_total 18446744073709551615\n"));
  EXPECT_THAT(text, HasSubstr("\npam_b -5\n"));
  EXPECT_THAT(text, HasSubstr("\npam_c 0.1\n"));
  EXPECT_THAT(text, HasSubstr("\npam_d NaN\n"));
  EXPECT_THAT(text, HasSubstr("\npam_e -Inf\n"));
  EXPECT_THAT(text, HasSubstr("\npam_f_seconds_total 1e-09\n"));
}

TEST(metrics, label_values_and_samples_are_bounded_and_drops_are_counted) {
  metrics_writer out;
  out.gauge("pam_long", "long", 1, {{"l", std::string(127, 'x') + "\xe2\x82\xac"}});
  for (std::size_t i = 0; i < metrics_writer::sample_limit + 7; ++i) {
    out.gauge("pam_many", "many", 1, {{"i", std::to_string(i)}});
  }
  out.counter("pam_many", "another type", 1.0);

  const std::string text = out.take();
  EXPECT_THAT(text, HasSubstr("pam_long{l=\"" + std::string(127, 'x') + "\"} 1\n"));
  EXPECT_EQ(occurrences(text, "\npam_many{"), metrics_writer::sample_limit);
  EXPECT_THAT(text, HasSubstr("\npam_metrics_dropped_samples 8\n"));
}

TEST(metrics, a_histogram_is_cumulative_and_ends_in_infinity_sum_and_count) {
  latency_histogram times;
  times.record(100us);
  times.record(128us);  // exactly an edge: belongs to le="0.000128"
  times.record(129us);
  times.record(1s);
  times.record(200s);
  metrics_writer out;

  out.histogram("pam_http_request_seconds", "Time of a request", times.snapshot(), {{"class", "read"}});

  const std::string text = out.take();
  const std::string name = "pam_http_request_seconds";
  EXPECT_THAT(text, StartsWith("# HELP " + name + " Time of a request\n# TYPE " + name + " histogram\n" +
                               name + "_bucket{class=\"read\",le=\"0.000128\"} 2\n" + name +
                               "_bucket{class=\"read\",le=\"0.000256\"} 3\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{class=\"read\",le=\"0.524288\"} 3\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{class=\"read\",le=\"1.048576\"} 4\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{class=\"read\",le=\"67.108864\"} 4\n" + name +
                              "_bucket{class=\"read\",le=\"+Inf\"} 5\n" + name +
                              "_sum{class=\"read\"} 201.000357\n" + name + "_count{class=\"read\"} 5\n"));
}

TEST(metrics, an_empty_histogram_is_all_zero) {
  metrics_writer out;
  out.histogram("pam_x_seconds", "x", histogram_snapshot{});

  EXPECT_THAT(out.take(),
              HasSubstr("pam_x_seconds_bucket{le=\"+Inf\"} 0\npam_x_seconds_sum 0\npam_x_seconds_count 0\n"));
}

TEST(latency_histogram, every_time_lies_within_its_bucket_and_an_eighth_of_its_edge) {
  for (std::uint64_t micros = 1; micros < (1U << 27); micros += 1 + micros / 977) {
    const std::chrono::microseconds time{micros};
    const std::size_t bucket = histogram_snapshot::bucket_of(time);
    const auto upper = histogram_snapshot::upper(bucket);

    ASSERT_LE(time, upper) << micros;
    ASSERT_LE(upper.count(), static_cast<double>(micros) * 1.125 + 1) << micros;
    if (bucket > 0) {
      ASSERT_GT(time, histogram_snapshot::upper(bucket - 1)) << micros;
    }
  }
}

TEST(latency_histogram, times_outside_the_range_land_in_the_outer_buckets) {
  latency_histogram times;
  times.record(-5s);
  times.record(0ns);
  times.record(1ns);
  times.record(std::chrono::hours{24 * 365});

  const auto seen = times.snapshot();

  EXPECT_EQ(seen.buckets.front(), 3U);
  EXPECT_EQ(seen.buckets.back(), 1U);
  EXPECT_EQ(seen.count(), 4U);
}

TEST(latency_histogram, quantiles_are_upper_edges_of_their_buckets) {
  latency_histogram times;
  for (int i = 1; i <= 1'000; ++i) times.record(std::chrono::microseconds{i});

  const auto seen = times.snapshot();

  EXPECT_EQ(seen.quantile(0.5), 512us);
  EXPECT_EQ(seen.quantile(0.99), 1'024us);
  EXPECT_EQ(seen.quantile(0), 1us);
  EXPECT_EQ(histogram_snapshot{}.quantile(0.99), 0us);
}

TEST(latency_histogram, a_quantile_beyond_the_range_is_the_end_of_the_range) {
  latency_histogram times;
  times.record(1h);

  EXPECT_EQ(times.snapshot().quantile(0.5), std::chrono::microseconds{1 << 27});
}

TEST(latency_histogram, snapshots_of_shards_add_up) {
  latency_histogram first;
  latency_histogram second;
  first.record(1ms);
  second.record(1ms);
  second.record(2ms);

  auto both = first.snapshot();
  both += second.snapshot();

  EXPECT_EQ(both.count(), 3U);
  EXPECT_EQ(both.sum, 4ms);
  EXPECT_EQ(both.at_most(1'024us), 2U);
}

TEST(latency_histogram, is_read_by_other_threads_while_its_own_records) {
  constexpr std::uint64_t many = 40'000;
  latency_histogram times;
  std::atomic<bool> has_ended{false};
  std::jthread shard([&] {
    for (std::uint64_t i = 0; i < many; ++i) times.record(1us);
    has_ended = true;
  });

  std::uint64_t seen = 0;
  while (!has_ended) {
    const std::uint64_t now = times.snapshot().count();
    EXPECT_GE(now, seen);
    seen = now;
  }

  EXPECT_EQ(times.snapshot().count(), many);
  EXPECT_EQ(times.snapshot().sum, 40ms);
}

}  // namespace
}  // namespace pam::runtime
