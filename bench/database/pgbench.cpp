#include "bench/database/pgbench.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <unistd.h>

#include <fmt/format.h>

#include "bench/database/process_cost.hpp"
#include "bench/database/shell.hpp"

namespace pam::bench {

namespace {

double number_after(const std::string& output, const char* label) {
  const std::string sought{label};
  const auto at = output.find(sought);
  if (at == std::string::npos) throw std::runtime_error("pgbench did not say '" + sought + "':\n" + output);
  return std::strtod(output.c_str() + at + sought.size(), nullptr);
}

class script_file {
 public:
  script_file(const plan& how, const std::string& script)
      : path_(std::filesystem::path{how.scratch} / fmt::format("pam_bench_db_{}.sql", ::getpid())) {
    std::ofstream{path_} << script;
  }
  ~script_file() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  script_file(const script_file&) = delete;
  script_file& operator=(const script_file&) = delete;
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

reference_sample run_pgbench(const plan& how, const route& way, const hot_statement& statement, int clients,
                             bool has_checkpoint) {
  const script_file file{how, statement.pgbench_script};
  const std::string script = statement.pgbench_script.empty()
                                 ? std::string{"-S"}
                                 : fmt::format("-D sessions={} -f '{}'", how.sessions, file.path());
  plan with_checkpoint = how;
  with_checkpoint.has_checkpoint = has_checkpoint;
  checkpoint_in_the_middle checkpoint{with_checkpoint};
  const std::string command =
      fmt::format("'{}/pgbench' -n -M {} -c {} -j {} -T {} {} -h '{}' -p {} -U '{}' '{}' 2>&1", how.pg_bin,
                  way.protocol, clients, clients < 2 ? 1 : 2, how.seconds, script, how.socket_dir,
                  how.*way.port, way.user, how.database);
  const double cpu = children_cpu_seconds();
  const std::string output = output_of(command);
  if (output.find("number of failed transactions: 0 ") == std::string::npos) {
    throw std::runtime_error("pgbench failed:\n" + output);
  }
  checkpoint.finish();
  reference_sample sample;
  sample.clients = clients;
  sample.rate = number_after(output, "tps = ");
  sample.own_cpu_us = (children_cpu_seconds() - cpu) * 1e6 /
                      number_after(output, "number of transactions actually processed: ");
  return sample;
}

std::vector<reference_sample> run_pgbench_sizes(const plan& how, const route& way,
                                                const hot_statement& statement, bool has_checkpoint) {
  std::vector<reference_sample> samples;
  for (const int clients : {1, 4, 16, 64}) {
    samples.push_back(run_pgbench(how, way, statement, clients, has_checkpoint));
  }
  return samples;
}

double best_rate(const std::vector<reference_sample>& of) {
  double most = 0;
  for (const reference_sample& one : of) most = std::max(most, one.rate);
  return most;
}

}  // namespace pam::bench
