// What db::database gives and costs, against pgbench and bare libpq on the same statements, routes and
// roles: targets.md P1, P8, P11 and the latencies around them. Starts private servers unless it is given
// some. `./dev bench db` runs all parts but the curve.
#include <algorithm>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/database/parts.hpp"
#include "bench/database/services.hpp"
#include "bench/database/world.hpp"

namespace pam::bench {
namespace {

struct options {
  plan how;
  std::string json;
  std::string script = "tests/support/services.sh";
  std::string running;
  std::vector<std::string> parts{"refresh", "steady", "latency", "depth-1", "reads", "cost", "memory"};
};

void measure(const options& with) {
  const plan& how = with.how;
  report findings;
  const std::string folder =
      with.json.empty() ? "." : std::filesystem::absolute(with.json).parent_path().string();
  const std::map<std::string, std::function<void()>> parts{
      {"refresh", [&] { measure_refresh(how, findings); }},
      {"steady", [&] { measure_steady(how, findings); }},
      {"latency", [&] { measure_latency(how, findings); }},
      {"depth-1", [&] { measure_depth_one(how, findings); }},
      {"reads", [&] { measure_reads(how, findings); }},
      {"cost", [&] { measure_cost(how, findings); }},
      {"memory", [&] { measure_memory(how, findings); }},
      {"curve", [&] { measure_curve(how, findings, folder); }},
  };
  create_world(how);
  for (const std::string& part : with.parts) parts.at(part)();
  drop_world(how);
  if (!with.json.empty()) findings.write(with.json);
}

}  // namespace
}  // namespace pam::bench

int main(int argc, char** argv) {
  pam::bench::options with;
  pam::bench::plan& how = with.how;
  CLI::App app{"What the database layer gives and costs, against pgbench and bare libpq"};
  app.add_option("--only", with.parts, "parts: refresh steady latency depth-1 reads cost memory curve")
      ->delimiter(',')
      ->check(CLI::IsMember({"refresh", "steady", "latency", "depth-1", "reads", "cost", "memory", "curve"}));
  app.add_option("--routes", how.routes, "direct pgbouncer-new pgbouncer-1.18")
      ->delimiter(',')
      ->check(CLI::IsMember({"direct", "pgbouncer-new", "pgbouncer-1.18"}));
  app.add_option("--sessions", how.sessions, "rows of the sessions table")->check(CLI::PositiveNumber);
  app.add_option("--seconds", how.seconds, "length of one sample")->check(CLI::PositiveNumber);
  app.add_option("--repeats", how.repeats, "samples of each kind, interleaved")->check(CLI::PositiveNumber);
  app.add_option("--statements", how.statements, "whose memory is weighed")->check(CLI::PositiveNumber);
  app.add_option("--callers", how.callers, "our concurrent coroutines")->check(CLI::PositiveNumber);
  app.add_option("--pipelines", how.pipelines, "our shared connections")->check(CLI::PositiveNumber);
  app.add_option("--batch", how.batch, "our statements a Sync at most")->check(CLI::PositiveNumber);
  app.add_option("--batches-in-flight", how.batches_in_flight, "a connection")->check(CLI::PositiveNumber);
  app.add_flag("--checkpoint,!--no-checkpoint", how.has_checkpoint,
               "one in the middle of every sample of P1");
  app.add_option("--json", with.json, "file for the result");
  app.add_option("--services", with.script, "script that starts private servers");
  app.add_option("--env", with.running, "use running servers: the `env` file that script wrote");
  CLI11_PARSE(app, argc, argv);
  try {
    std::unique_ptr<pam::bench::services> own;
    if (with.running.empty()) {
      own = std::make_unique<pam::bench::services>(with.script, how);
    } else {
      pam::bench::read_services(with.running, how);
    }
    pam::bench::measure(with);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "{}\n", failure.what());
    return 1;
  }
  return 0;
}
