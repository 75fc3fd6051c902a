#include "server/runtime/metrics.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

#include "async/counting.hpp"
#include "server/runtime/utf8.hpp"

namespace pam::runtime {
namespace {

constexpr unsigned step_bits = std::bit_width(histogram_snapshot::steps) - 1;
constexpr unsigned first_edge = 7;  ///< 2^7 = 128 us
constexpr unsigned last_edge = 26;  ///< 2^26 us = 67 s

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 32> digits{};
  const auto [end, failure] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end};
}

/// Seconds with the digits a count of nanoseconds has, never in exponent form: 0.000128
std::string seconds(std::chrono::nanoseconds time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  std::string fraction = std::to_string((time - whole).count());
  fraction.insert(0, 9 - fraction.size(), '0');
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return std::to_string(whole.count()) + (fraction.empty() ? "" : "." + fraction);
}

/// Label values escape backslash, quote and line feed; help texts the quote not.
void append_escaped(std::string& out, std::string_view text, bool in_quotes) {
  while (!text.empty()) {
    const std::size_t length = utf8_sequence(text);
    const char c = text.front();
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\\' || (c == '"' && in_quotes)) {
      (out += '\\') += c;
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
}

/// At most `limit` bytes, not inside a UTF-8 sequence.
std::string_view cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) --limit;
  return text.substr(0, limit);
}

void append_label(std::string& out, std::string_view name, std::string_view value) {
  out += out.empty() ? '{' : ',';
  out.append(name).append("=\"");
  append_escaped(out, cut(value, metrics_writer::label_value_limit), true);
  out += '"';
}

/// `{a="b",le="0.5"}`, or nothing.
std::string label_text(metric_labels labels, std::string_view le = {}) {
  std::string out;
  for (const metric_label& label : labels) append_label(out, label.name, label.value);
  if (!le.empty()) append_label(out, "le", le);
  return out.empty() ? out : out + '}';
}

}  // namespace

std::size_t histogram_snapshot::bucket_of(std::chrono::nanoseconds time) {
  // Edges belong to the bucket below them (`le` is inclusive): round up, then count from zero.
  const auto micros = std::chrono::ceil<std::chrono::microseconds>(time).count();
  const std::uint64_t below = micros <= 0 ? 0 : static_cast<std::uint64_t>(micros) - 1;
  if (below < steps) return static_cast<std::size_t>(below);
  const unsigned power = static_cast<unsigned>(std::bit_width(below)) - 1;
  const std::uint64_t step = (below >> (power - step_bits)) - steps;
  return std::min<std::size_t>(bucket_count - 1, (power - step_bits + 1) * steps + step);
}

std::chrono::microseconds histogram_snapshot::upper(std::size_t bucket) {
  if (bucket < steps) return std::chrono::microseconds{bucket + 1};
  const std::size_t shift = bucket / steps - 1;
  return std::chrono::microseconds{(bucket % steps + steps + 1) << shift};
}

histogram_snapshot& histogram_snapshot::operator+=(const histogram_snapshot& other) {
  std::transform(buckets.begin(), buckets.end(), other.buckets.begin(), buckets.begin(), std::plus<>{});
  sum += other.sum;
  return *this;
}

std::uint64_t histogram_snapshot::count() const {
  return std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0});
}

std::uint64_t histogram_snapshot::at_most(std::chrono::microseconds bound) const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i + 1 < bucket_count && upper(i) <= bound; ++i) total += buckets[i];
  return total;
}

std::chrono::microseconds histogram_snapshot::quantile(double q) const {
  const std::uint64_t all = count();
  if (all == 0) return std::chrono::microseconds{0};
  const double wanted = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(all));
  const auto rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, all);
  std::uint64_t seen = 0;
  std::size_t bucket = 0;
  while (bucket + 2 < bucket_count && (seen += buckets[bucket]) < rank) ++bucket;
  return upper(bucket);
}

void latency_histogram::record(std::chrono::nanoseconds time) {
  const auto positive = std::max(time, std::chrono::nanoseconds{0});
  async::count(buckets_[histogram_snapshot::bucket_of(positive)]);
  async::count(sum_, static_cast<std::uint64_t>(positive.count()));
}

histogram_snapshot latency_histogram::snapshot() const {
  histogram_snapshot out;
  for (std::size_t i = 0; i < buckets_.size(); ++i)
    out.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
  out.sum = std::chrono::nanoseconds{sum_.load(std::memory_order_relaxed)};
  return out;
}

metrics_writer::family* metrics_writer::open(std::string_view name, std::string_view help,
                                             std::string_view type) {
  auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    family& fresh = families_.emplace_back();
    fresh.type = type;
    fresh.text.append("# HELP ").append(name).append(" ");
    append_escaped(fresh.text, help, false);
    fresh.text.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
    found = by_name_.emplace(name, &fresh).first;
  }
  family& own = *found->second;
  if (own.samples >= sample_limit || own.type != type) {
    ++dropped_;
    return nullptr;
  }
  ++own.samples;
  return &own;
}

void metrics_writer::sample(std::string_view name, std::string_view help, std::string_view type,
                            const std::string& value, metric_labels labels) {
  family* own = open(name, help, type);
  if (own == nullptr) return;
  own->text.append(name).append(label_text(labels)).append(" ").append(value).append("\n");
}

void metrics_writer::counter(std::string_view name, std::string_view help, double value,
                             metric_labels labels) {
  sample(name, help, "counter", number(value), labels);
}

void metrics_writer::gauge(std::string_view name, std::string_view help, double value, metric_labels labels) {
  sample(name, help, "gauge", number(value), labels);
}

void metrics_writer::histogram(std::string_view name, std::string_view help, const histogram_snapshot& times,
                               metric_labels labels) {
  family* own = open(name, help, "histogram");
  if (own == nullptr) return;
  const auto bucket = [&](std::string_view le, std::uint64_t value) {
    own->text.append(name).append("_bucket").append(label_text(labels, le)).append(" ");
    own->text.append(std::to_string(value)).append("\n");
  };
  for (unsigned power = first_edge; power <= last_edge; ++power) {
    const std::chrono::microseconds edge{std::int64_t{1} << power};
    bucket(seconds(edge), times.at_most(edge));
  }
  const std::string plain = label_text(labels);
  const std::string count = std::to_string(times.count());
  bucket("+Inf", times.count());
  own->text.append(name).append("_sum").append(plain).append(" ").append(seconds(times.sum)).append("\n");
  own->text.append(name).append("_count").append(plain).append(" ").append(count).append("\n");
}

std::string metrics_writer::take() {
  gauge("pam_metrics_dropped_samples", "Samples this scrape dropped: a full family or one with two types",
        dropped_);
  std::string out;
  for (const family& each : families_) out += each.text;
  families_.clear();
  by_name_.clear();
  return out;
}

}  // namespace pam::runtime
