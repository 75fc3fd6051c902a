#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
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

/// Findings as they come: each is printed at once, `write` writes all there are.
class report {
 public:
  /// @param run  in a line what everything was measured with: machine, server, size
  explicit report(std::string run) : run_(std::move(run)) {}

  void add(finding one);
  /// @param svg  stands under the table of the page
  void add_picture(std::string title, std::string svg);
  /// Writes the JSON array, raw samples included, to `file`, and the same as a page beside it, which ends in
  /// .html; throws when it cannot.
  void write(const std::string& file) const;

 private:
  struct picture {
    std::string title, svg;
  };
  [[nodiscard]] std::string json() const;
  [[nodiscard]] std::string page(const std::string& json_name) const;

  std::string run_;
  std::vector<finding> findings_;
  std::vector<picture> pictures_;
};

/// A JSON array of numbers.
[[nodiscard]] std::string json_of(const std::vector<double>& values);

}  // namespace pam::bench
