// The main of every Google Benchmark executable: prints the usual table, and with --json FILE writes what
// `./dev bench` collects: [{"name","ours","reference","ratio","target","met","unit"}].
//
// A benchmark NAME is compared with the benchmark NAME/reference of the same run; counters named "target"
// set the ratio it must reach. Rates are operations a second of CPU time, medians over repetitions.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::string_view reference_suffix = "/reference";

struct samples {
  std::vector<double> rates;
  double target = 0;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// The table on the console, and every rate by name.
class collecting_reporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.error_occurred || run.run_type != Run::RT_Iteration || run.cpu_accumulated_time <= 0) continue;
      samples& of = by_name_[run.run_name.str()];
      of.rates.push_back(static_cast<double>(run.iterations) / run.cpu_accumulated_time);
      const auto target = run.counters.find("target");
      if (target != run.counters.end()) of.target = target->second.value;
    }
  }

  void write(std::ostream& out) const {
    out << "[";
    const char* separator = "\n";
    for (const auto& [name, of] : by_name_) {
      if (std::string_view{name}.ends_with(reference_suffix)) continue;
      const auto reference = by_name_.find(name + std::string{reference_suffix});
      const double ours = median(of.rates);
      out << separator << R"(  {"name":")" << name << R"(","ours":)" << ours << R"(,"unit":"operations/s")";
      if (reference == by_name_.end()) {
        out << R"(,"reference":null,"ratio":null,"target":null,"met":null})";
      } else {
        const double theirs = median(reference->second.rates);
        const double ratio = theirs > 0 ? ours / theirs : 0;
        out << R"(,"reference":)" << theirs << R"(,"ratio":)" << ratio;
        if (of.target > 0) {
          out << R"(,"target":)" << of.target << R"(,"met":)" << (ratio >= of.target ? "true" : "false")
              << "}";
        } else {
          out << R"(,"target":null,"met":null})";
        }
      }
      separator = ",\n";
    }
    out << "\n]\n";
  }

 private:
  std::map<std::string, samples> by_name_;
};

}  // namespace

int main(int argc, char** argv) {
  std::string json_file;
  std::vector<char*> rest;
  for (int i = 0; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
      json_file = argv[++i];
    } else {
      rest.push_back(argv[i]);
    }
  }
  int rest_count = static_cast<int>(rest.size());
  benchmark::Initialize(&rest_count, rest.data());
  if (benchmark::ReportUnrecognizedArguments(rest_count, rest.data())) return 1;
  collecting_reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  if (json_file.empty()) return 0;
  std::ofstream out{json_file};
  reporter.write(out);
  if (!out.flush()) {
    std::cerr << "bench: cannot write " << json_file << "\n";
    return 1;
  }
  return 0;
}
