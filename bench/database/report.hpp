#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pam::bench {

[[nodiscard]] double median(std::vector<double> values);

/// One line of the result: ours against a reference, with everything it was computed from.
struct finding {
  std::string name;
  double ours = 0;
  std::optional<double> reference;
  std::optional<double> target;  ///< of the ratio, or of ours when there is no reference
  bool less_is_better = false;
  std::string unit;
  std::string note;     ///< for people: percentiles, batch sizes
  std::string samples;  ///< JSON

  [[nodiscard]] std::optional<double> ratio() const;
  [[nodiscard]] std::optional<bool> is_met() const;
};

/// Findings as they come: each is printed at once, all are written at the end.
class report {
 public:
  void add(finding one);
  /// Writes the JSON array; throws when it cannot.
  void write(const std::string& file) const;

 private:
  std::vector<finding> findings_;
};

/// A JSON array of numbers.
[[nodiscard]] std::string json_of(const std::vector<double>& values);

}  // namespace pam::bench
