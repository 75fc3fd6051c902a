#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include <unistd.h>

#include <fmt/format.h>

#include "bench/database/parts.hpp"
#include "bench/database/shell.hpp"

namespace pam::bench {

namespace {

// Two runs of different length: their difference leaves out connecting and preparing.
constexpr std::size_t fewer = 2'000;
constexpr std::size_t more = 12'000;

/// This program without debug information: valgrind 3.19 gives up on what clang 19 writes there (DWARF 5).
class stripped_copy {
 public:
  explicit stripped_copy(const plan& how)
      : path_(std::filesystem::path{how.scratch} / fmt::format("pam_bench_db_{}_stripped", ::getpid())) {
    const std::string command = fmt::format("strip -o '{}' '{}'", path_.string(),
                                            std::filesystem::read_symlink("/proc/self/exe").string());
    run_command(command);
  }
  ~stripped_copy() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  stripped_copy(const stripped_copy&) = delete;
  stripped_copy& operator=(const stripped_copy&) = delete;
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// Runs this program's part `memory` under callgrind, on the data there are; returns the instructions of all.
double instructions(const plan& how, const stripped_copy& program, const char* way,
                    const std::string& statement, std::size_t statements) {
  const std::string command = fmt::format(
      "valgrind --tool=callgrind --callgrind-out-file=/dev/null '{}' --only memory --routes {} --weigh {} "
      "--statements {} --pipelines {} --batch {} --batches-in-flight {} --env '{}' --kept-data --keep-data "
      "2>&1",
      program.path(), way, statement, statements, how.pipelines, how.batch, how.batches_in_flight, how.env);
  constexpr std::string_view label = "Collected : ";
  const std::string output = output_of(command);
  const auto at = output.find(label);
  if (at == std::string::npos) throw std::runtime_error("callgrind counted nothing:\n" + output);
  return std::strtod(output.c_str() + at + label.size(), nullptr);
}

}  // namespace

void measure_instructions(const plan& how, report& into) {
  const stripped_copy program{how};
  for (const subject& of : weighed_subjects(how)) {
    for (const route* way : available_routes(how)) {
      const double few = instructions(how, program, way->name, of.name, fewer);
      const double many = instructions(how, program, way->name, of.name, more);
      finding one;
      one.name = fmt::format("instructions/{}/{}", way->name, of.name);
      // A tenth more runs to warm up.
      one.ours = (many - few) * 10 / 11 / (more - fewer);
      one.less_is_better = true;
      one.unit = "of our process a statement";
      one.note = fmt::format("callgrind, 64 callers, {} and {} statements", fewer, more);
      one.samples = fmt::format("[{:.0f},{:.0f}]", few, many);
      into.add(one);
    }
  }
}

}  // namespace pam::bench
