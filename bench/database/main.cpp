// What db::database gives and costs, against pgbench and bare libpq on the same statements, routes and
// roles: targets.md P1, P8, P11 and the latencies around them. Starts private servers unless it is given
// some.
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/database/parts.hpp"
#include "bench/database/services.hpp"
#include "bench/database/world.hpp"

namespace pam::bench {
namespace {

struct part {
  const char* name;
  const char* what;
  double (*seconds)(const plan& how,
                    double routes);  ///< about; beside the samples' own, what goes around them
  void (*measure)(const plan& how, report& into);
};

double repeated(const plan& how) {
  return how.repeats;
}
double few_repeats(const plan& how) {
  return std::min(how.repeats, 3);
}

constexpr part parts[] = {
    {"refresh", "P1: durable refreshes a second, and CPU a statement, against pgbench's best",
     [](const plan& how, double routes) { return routes * repeated(how) * (5 * how.seconds + 1); },
     measure_refresh},
    {"steady", "P11: 700 a second in an open loop, a checkpoint inside",
     [](const plan& how, double routes) { return 32 + routes * 4 * how.seconds; }, measure_steady},
    {"latency", "p50, p99, p99.9 at 10, 50, 90 % of the highest rate, open loop",
     [](const plan& how, double routes) { return routes * 8 * how.seconds; }, measure_latency},
    {"depth-1", "one caller against bare libpq",
     [](const plan& how, double routes) { return routes * repeated(how) * how.seconds; }, measure_depth_one},
    {"reads", "the read behind a bearer token, 1, 8, 64 callers, against pgbench",
     [](const plan& how, double routes) { return routes * few_repeats(how) * 3 * 2; }, measure_reads},
    {"keys", "the same with the read of `pgbench -S`",
     [](const plan& how, double routes) { return 3 + routes * few_repeats(how) * 3 * 2; }, measure_keys},
    {"cost", "P8: updates, HOT, partitions, WAL of a refresh",
     [](const plan& how, double) { return 2.0 * how.seconds + 1; }, measure_cost},
    {"memory", "allocations, bytes, growth over --statements",
     [](const plan& how, double routes) {
       return routes * static_cast<double>(how.statements) * (1.0 / 60'000 + 1.0 / 25'000);
     },
     measure_memory},
    {"curve", "batches of 1 to 128 by 1 to 8 connections, as CSV and a plot",
     [](const plan& how, double) { return 32.0 * how.seconds + 4; }, measure_curve},
    {"instructions", "of our process a statement, by callgrind",
     [](const plan&, double routes) { return routes * 15; }, measure_instructions},
};

constexpr double filled_a_second = 15'000;

double seconds_to_fill(const plan& how) {
  return how.is_kept ? 0 : 5 + static_cast<double>(how.sessions) / filled_a_second;
}

std::vector<std::string> part_names() {
  std::vector<std::string> names;
  for (const part& one : parts) names.emplace_back(one.name);
  return names;
}

std::vector<std::string> route_names() {
  std::vector<std::string> names;
  for (const route& one : routes) names.emplace_back(one.name);
  return names;
}

// What the parts are and how long they take, below the options.
std::string footer() {
  const plan standard;
  const auto every_route = static_cast<double>(std::size(routes));
  double all = seconds_to_fill(standard);
  std::string text = "Parts, in their order, and about how long each takes with these defaults:\n";
  for (const part& one : parts) {
    const double seconds = one.seconds(standard, every_route);
    all += seconds;
    text += fmt::format("  {:<14}{:>4.0f} s  {}\n", one.name, seconds, one.what);
  }
  text += fmt::format(
      "All of it: about {:.0f} minutes. Times follow --seconds, --repeats, --statements and the routes.\n"
      "The targets want 5,000,000 sessions: --sessions 5000000 fills for about {:.0f} minutes more and "
      "needs\n"
      "10 GB of disk and 8 GB of memory. To fill once and measure often, give running servers: --env FILE\n"
      "--keep-data, then --env FILE --kept-data.\n"
      "Beside the JSON file stands the same as a page, NAME.html.",
      all / 60, 5e6 / filled_a_second / 60);
  return text;
}

void say(const std::string& text) {
  fmt::print(stderr, "==> {}\n", text);
}

struct options {
  plan how;
  std::string json;
  std::string script = "tests/support/services.sh";
  std::string running;
  std::vector<std::string> wanted = part_names();
};

// Whatever would spoil the end of a long run is said before it begins.
void check(options& with, bool is_chosen) {
  const auto counting = std::find(with.wanted.begin(), with.wanted.end(), "instructions");
  if (counting != with.wanted.end() && std::system("command -v valgrind >/dev/null") != 0) {
    constexpr const char* lacks = "the part 'instructions' needs valgrind (apt-get install valgrind)";
    if (is_chosen) throw std::runtime_error(fmt::format("--only: {}", lacks));
    say(fmt::format("left out: {}", lacks));
    with.wanted.erase(counting);
  }
  if (with.json.empty()) return;
  if (std::filesystem::path{with.json}.extension() == ".html") {
    throw std::runtime_error("--json: the page stands beside the JSON file, name that one");
  }
  if (!std::ofstream{with.json, std::ios::app}) throw std::runtime_error("--json: cannot write " + with.json);
}

void check_routes(const plan& how) {
  for (const std::string& name : how.routes) {
    for (const route& way : routes) {
      if (way.name == name && how.*way.port == 0) {
        throw std::runtime_error(fmt::format("--routes: there is no server for {}", name));
      }
    }
  }
}

std::string first_line(const std::string& file, const std::string& label) {
  std::ifstream lines{file};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(label)) return line.substr(std::min(line.size(), line.find(':') + 2));
  }
  return "unknown";
}

std::string said_of_the_run(const plan& how) {
  auto root = connect(how, "postgres");
  return fmt::format(
      "{} x {}, PostgreSQL {}, shared_buffers {}, {} sessions, {} s a sample, {} repeats, {} callers, "
      "batches "
      "of {}, {} connections, {} batches under way on each",
      std::thread::hardware_concurrency(), first_line("/proc/cpuinfo", "model name"),
      value(root, "SHOW server_version"), value(root, "SHOW shared_buffers"), how.sessions, how.seconds,
      how.repeats, how.callers, how.batch, how.pipelines, how.batches_in_flight);
}

void measure(options& with) {
  plan& how = with.how;
  check_routes(how);
  if (how.is_kept) how.sessions = kept_sessions(how);
  std::vector<const part*> chosen;
  double left = seconds_to_fill(how);
  const auto ways = static_cast<double>(available_routes(how).size());
  for (const part& one : parts) {
    if (std::find(with.wanted.begin(), with.wanted.end(), one.name) == with.wanted.end()) continue;
    chosen.push_back(&one);
    left += one.seconds(how, ways);
  }
  report findings{said_of_the_run(how)};
  const auto announce = [&](std::size_t number, const std::string& what, double seconds) {
    say(fmt::format("{}/{} {}: about {:.0f} s, {:.1f} minutes left", number, chosen.size(), what, seconds,
                    left / 60));
    left -= seconds;
  };
  if (!how.is_kept) {
    announce(0, fmt::format("data: {} sessions", how.sessions), seconds_to_fill(how));
    create_world(how);
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const part& one = *chosen[i];
    announce(i + 1, fmt::format("{}: {}", one.name, one.what), one.seconds(how, ways));
    one.measure(how, findings);
    // After each part: a run that is broken off leaves what it has.
    if (!with.json.empty()) findings.write(with.json);
  }
  if (!how.must_keep) drop_world(how);
}

}  // namespace
}  // namespace pam::bench

int main(int argc, char** argv) {
  pam::bench::options with;
  pam::bench::plan& how = with.how;
  CLI::App app{"What the database layer gives and costs, against pgbench and bare libpq"};
  app.option_defaults()->always_capture_default();
  app.footer(pam::bench::footer());
  const auto* only = app.add_option("--only", with.wanted, "parts, see below")
                         ->delimiter(',')
                         ->check(CLI::IsMember(pam::bench::part_names()));
  app.add_option("--routes", how.routes, "of these; none: every one that has a server")
      ->delimiter(',')
      ->check(CLI::IsMember(pam::bench::route_names()));
  auto* sessions = app.add_option("--sessions", how.sessions, "rows of the sessions table")
                       ->check(CLI::Range(std::int64_t{10}, std::int64_t{100'000'000}));
  app.add_option("--seconds", how.seconds, "length of one sample")->check(CLI::Range(1, 600));
  app.add_option("--repeats", how.repeats, "samples of each kind, interleaved")->check(CLI::Range(1, 100));
  app.add_option("--statements", how.statements, "whose memory is weighed")
      ->check(CLI::Range(std::size_t{1'000}, std::size_t{1'000'000'000}));
  app.add_option("--weigh", how.weighed, "of the parts memory and instructions: read, refresh; none: both")
      ->delimiter(',')
      ->check(CLI::IsMember({"read", "refresh"}));
  app.add_option("--callers", how.callers, "our concurrent coroutines")->check(CLI::Range(1, 100'000));
  app.add_option("--pipelines", how.pipelines, "our shared connections")->check(CLI::Range(1, 64));
  app.add_option("--batch", how.batch, "our statements a Sync at most")->check(CLI::Range(1, 4096));
  app.add_option("--batches-in-flight", how.batches_in_flight, "a connection")->check(CLI::Range(1, 64));
  app.add_flag("--checkpoint,!--no-checkpoint", how.has_checkpoint,
               "one in the middle of every sample of P1");
  app.add_option("--json", with.json, "file for the result; none: only the table");
  app.add_option("--services", with.script, "script that starts private servers")->check(CLI::ExistingFile);
  auto* env = app.add_option("--env", with.running, "use running servers: the `env` file that script wrote")
                  ->check(CLI::ExistingFile);
  app.add_flag("--keep-data", how.must_keep, "leave the data to a later run")->needs(env);
  app.add_flag("--kept-data", how.is_kept, "use the data that an earlier run left")
      ->needs(env)
      ->excludes(sessions);
  CLI11_PARSE(app, argc, argv);
  try {
    pam::bench::check(with, only->count() != 0);
    std::unique_ptr<pam::bench::services> own;
    how.folder = with.json.empty() ? "." : std::filesystem::absolute(with.json).parent_path().string();
    if (with.running.empty()) {
      own = std::make_unique<pam::bench::services>(with.script, how);
    } else {
      pam::bench::read_services(with.running, how);
    }
    pam::bench::measure(with);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "bench_db: {}\n", failure.what());
    return 1;
  }
  return 0;
}
