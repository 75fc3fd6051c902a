// Durable refreshes a second through db::database against the best of pgbench, interleaved, on the same
// server and statement: targets.md P1. Starts private servers unless it is given some.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/durable_refresh/fixture.hpp"
#include "bench/durable_refresh/ours.hpp"
#include "bench/durable_refresh/reference.hpp"

namespace pam::bench {
namespace {

struct route {
  const char* name;
  bool through_pooler;
  double target;
};
constexpr route routes[] = {
    {"durable-refresh/direct", false, 8},
    {"durable-refresh/pgbouncer-1.18", true, 5},
};

struct outcome {
  const route* which = nullptr;
  std::vector<our_sample> ours;
  std::vector<std::vector<reference_sample>> reference;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double best(const std::vector<reference_sample>& of) {
  double most = 0;
  for (const reference_sample& one : of) most = std::max(most, one.rate);
  return most;
}

struct summary {
  double ours, reference, ratio, p50_ms, p99_ms, batch;
};

summary summarise(const outcome& of) {
  std::vector<double> ours, reference, p50, p99, batch;
  for (const our_sample& one : of.ours) {
    ours.push_back(one.rate);
    p50.push_back(static_cast<double>(one.p50.count()) / 1000);
    p99.push_back(static_cast<double>(one.p99.count()) / 1000);
    batch.push_back(one.batch);
  }
  for (const auto& one : of.reference) reference.push_back(best(one));
  summary all{median(ours), median(reference), 0, median(p50), median(p99), median(batch)};
  all.ratio = all.ours / all.reference;
  return all;
}

std::string json_of(const std::vector<outcome>& outcomes) {
  std::string text = "[";
  for (const outcome& one : outcomes) {
    const summary all = summarise(one);
    std::string ours, reference;
    for (const our_sample& s : one.ours) {
      ours += fmt::format("{}{{\"rate\":{:.1f},\"p50_us\":{},\"p99_us\":{},\"batch\":{:.1f}}}",
                          ours.empty() ? "" : ",", s.rate, s.p50.count(), s.p99.count(), s.batch);
    }
    for (const auto& repeat : one.reference) {
      std::string inner;
      for (const reference_sample& s : repeat) {
        inner +=
            fmt::format("{}{{\"clients\":{},\"rate\":{:.1f}}}", inner.empty() ? "" : ",", s.clients, s.rate);
      }
      reference += fmt::format("{}[{}]", reference.empty() ? "" : ",", inner);
    }
    text += fmt::format(
        "{}\n{{\"name\":\"{}\",\"ours\":{:.1f},\"reference\":{:.1f},\"ratio\":{:.2f},\"target\":{},"
        "\"met\":{},\"p50_ms\":{:.2f},\"p99_ms\":{:.2f},\"samples\":{{\"ours\":[{}],\"reference\":[{}]}}}}",
        text.size() == 1 ? "" : ",", one.which->name, all.ours, all.reference, all.ratio, one.which->target,
        all.ratio >= one.which->target ? "true" : "false", all.p50_ms, all.p99_ms, ours, reference);
  }
  return text + "\n]\n";
}

void print(const std::vector<outcome>& outcomes) {
  fmt::print("{:<32}{:>10}{:>10}{:>8}{:>8}{:>9}{:>9}{:>8}\n", "route", "ours/s", "pgbench/s", "ratio",
             "target", "p50 ms", "p99 ms", "batch");
  for (const outcome& one : outcomes) {
    const summary all = summarise(one);
    fmt::print("{:<32}{:>10.0f}{:>10.0f}{:>8.2f}{:>8.0f}{:>9.2f}{:>9.2f}{:>8.1f}\n", one.which->name,
               all.ours, all.reference, all.ratio, one.which->target, all.p50_ms, all.p99_ms, all.batch);
  }
}

/// Private servers by tests/support/services.sh, stopped with the object.
class services {
 public:
  services(std::string script, plan& how) : script_(std::move(script)) {
    directory_ = std::filesystem::temp_directory_path() / fmt::format("pam_durable_refresh_{}", ::getpid());
    std::filesystem::create_directories(directory_);
    ::setenv("PAM_TEST_PG_FSYNC", "on", 1);
    run("start");
    std::ifstream env{directory_ / "env"};
    for (std::string line; std::getline(env, line);) {
      const auto equals = line.find('=');
      if (equals == std::string::npos) continue;
      take(line.substr(0, equals), line.substr(equals + 1), how);
    }
  }
  ~services() {
    try {
      run("stop");
      std::filesystem::remove_all(directory_);
    } catch (const std::exception& failure) {
      fmt::print(stderr, "{}\n", failure.what());
    }
  }
  services(const services&) = delete;
  services& operator=(const services&) = delete;

 private:
  static void take(const std::string& name, const std::string& value, plan& how) {
    if (name == "PAM_TEST_PG_SOCKET_DIR") how.socket_dir = value;
    if (name == "PAM_TEST_PG_PORT") how.postgres_port = static_cast<std::uint16_t>(std::stoi(value));
    if (name == "PAM_TEST_PGBOUNCER_PORT") how.pgbouncer_port = static_cast<std::uint16_t>(std::stoi(value));
    if (name == "PAM_TEST_PG_SUPERUSER") how.superuser = value;
    if (name == "PAM_TEST_PG_BIN") how.pg_bin = value;
  }
  void run(const char* verb) const {
    const std::string command = fmt::format("'{}' {} '{}'", script_, verb, directory_.string());
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
  }
  std::string script_;
  std::filesystem::path directory_;
};

void measure(const plan& how, const std::string& json) {
  create_schema(how);
  std::vector<outcome> outcomes;
  for (const route& which : routes) outcomes.push_back({&which, {}, {}});
  for (int repeat = 0; repeat < how.repeats; ++repeat) {
    for (outcome& one : outcomes) {
      one.ours.push_back(measure_ours(how, one.which->through_pooler));
      one.reference.push_back(measure_reference(how, one.which->through_pooler));
    }
  }
  drop_schema(how);
  print(outcomes);
  if (!json.empty()) std::ofstream{json} << json_of(outcomes);
}

}  // namespace
}  // namespace pam::bench

int main(int argc, char** argv) {
  pam::bench::plan how;
  std::string json;
  std::string script = "tests/support/services.sh";
  CLI::App app{"Durable refreshes a second through db::database, against the best of pgbench"};
  app.add_option("--sessions", how.sessions, "rows of the sessions table")->check(CLI::PositiveNumber);
  app.add_option("--seconds", how.seconds, "length of one sample")->check(CLI::PositiveNumber);
  app.add_option("--repeats", how.repeats, "samples of each kind, interleaved")->check(CLI::PositiveNumber);
  app.add_option("--callers", how.callers, "our concurrent coroutines")->check(CLI::PositiveNumber);
  app.add_option("--pipelines", how.pipelines, "our shared connections")->check(CLI::PositiveNumber);
  app.add_flag("--checkpoint,!--no-checkpoint", how.has_checkpoint, "one checkpoint inside every sample");
  app.add_option("--json", json, "file for the result");
  app.add_option("--services", script, "script that starts private servers");
  app.add_option("--socket-dir", how.socket_dir, "use running servers: directory of their Unix sockets");
  app.add_option("--pg-port", how.postgres_port, "port of PostgreSQL there");
  app.add_option("--pgbouncer-port", how.pgbouncer_port, "port of PgBouncer there");
  app.add_option("--user", how.superuser, "a superuser who needs no password");
  app.add_option("--pg-bin", how.pg_bin, "directory of pgbench");
  CLI11_PARSE(app, argc, argv);
  try {
    if (!how.socket_dir.empty()) {
      pam::bench::measure(how, json);
    } else {
      const pam::bench::services own{script, how};
      pam::bench::measure(how, json);
    }
  } catch (const std::exception& failure) {
    fmt::print(stderr, "{}\n", failure.what());
    return 1;
  }
  return 0;
}
