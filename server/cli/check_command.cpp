#include "server/cli/check_command.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>

#include "db/pooler_leak_test.hpp"
#include "server/cli/check/gather.hpp"
#include "server/cli/check/judge.hpp"
#include "server/cli/check/suggest.hpp"
#include "server/cli/command.hpp"

namespace pam::cli {

namespace {

// What a configuration lacks for `serve` is judged like the rest.
void add_missing(const runtime::configuration& settings, check::findings& out) {
  for (const runtime::config_error& one : runtime::missing_for_serving(settings)) {
    out.push_back({check::severity::danger, one.key, one.message, "see pam-auth config reference"});
  }
}

int refuse(std::ostream& err, const std::string& why) {
  err << "pam-auth check: " << why << '\n';
  return failure;
}

struct check_arguments {
  std::string file;
  check_options options;
  bool wants_suggestion = false;
  std::uint64_t memory_gib = 0;
  unsigned cores = 0;
  bool wants_leak_test = false;
  bool is_alone = false;
};

int run_with(const check_arguments& given, command_context& context) {
  if (given.wants_suggestion) return run_suggest(given.memory_gib, given.cores, context.out);
  if (given.file.empty()) {
    context.err << "pam-auth check: --config FILE is needed (or PAM_CONFIG in the environment)\n";
    return usage;
  }
  const auto settings = runtime::load_config(given.file, context.variables);
  if (settings.has_error()) {
    context.err << runtime::to_string(settings.error());
    return failure;
  }
  if (given.wants_leak_test) return run_leak_test(*settings, given.is_alone, context.out, context.err);
  return run_check(*settings, given.options, context.out);
}

}  // namespace

int run_check(const runtime::configuration& settings, const check_options& options, std::ostream& out) {
  check::findings all;
  add_missing(settings, all);
  const check::findings judged = check::judge(check::gather(settings, options.processes));
  all.insert(all.end(), judged.begin(), judged.end());
  out << (options.is_json ? check::as_json(all) : check::as_text(all));
  return check::worst(all) == check::severity::danger ? failure : success;
}

int run_leak_test(const runtime::configuration& settings, bool is_alone, std::ostream& out,
                  std::ostream& err) {
  if (!is_alone) {
    err << "pam-auth check: --pooler-leak-test makes a PgBouncer before 1.21 hand rows of one client to "
           "another,"
           " whoever that is: stop every other client of this pooler, then say --i-am-alone\n";
    return usage;
  }
  const check::facts seen = check::gather(settings, 1);
  if (!seen.route.unreachable.empty())
    return refuse(err, "the route of [database]: " + seen.route.unreachable);
  if (seen.route.is_direct)
    return refuse(err, "[database] leads to PostgreSQL directly: there is no pooler to test");
  if (!seen.pooler.clients.empty()) {
    return refuse(err, "you are not alone, PgBouncer also serves " + seen.pooler.clients.front());
  }
  const auto report = db::test_pooler_for_leaks(check::pooled_route(settings), {});
  if (report.has_error()) return refuse(err, report.error().detail);
  out << report->asked << " answers compared, " << report->wrong << " of somebody else, " << report->lost
      << " connections broken\n";
  if (!report->has_leak()) {
    out << "no leak: this pooler tells the answers of its clients apart\n";
    return success;
  }
  out << "LEAK: this pooler mixes up its clients when several batches are in flight. PAM Auth sends it one "
         "at a"
         " time; no other program may pipeline through it. Upgrade to PgBouncer 1.24.1 or newer.\n"
         "Its server connections now hold answers nobody has read: RECONNECT in the admin console, or "
         "restart it,"
         " before any client comes back.\n";
  return failure;
}

int run_suggest(std::uint64_t memory_gib, unsigned cores, std::ostream& out) {
  check::machine host;
  host.memory_bytes = memory_gib << 30U;
  host.cores = cores;
  if (memory_gib == 0) {
    host.memory_bytes = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                        static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  }
  if (cores == 0) host.cores = static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  out << check::suggest(host);
  return success;
}

void add_check_command(CLI::App& app, command_context& context) {
  CLI::App* command =
      app.add_subcommand("check", "Say what is too small, too large or dangerous around the server");
  const auto given = std::make_shared<check_arguments>();
  command->add_option("--config", given->file, "Configuration file (TOML)")->envname("PAM_CONFIG");
  command
      ->add_option("--processes", given->options.processes,
                   "Processes that share the database; default: server.processes")
      ->check(CLI::Range(1U, 1000U));
  command->add_flag("--json", given->options.is_json, "Findings as JSON");
  CLI::Option* suggestion = command->add_flag("--suggest", given->wants_suggestion,
                                              "Print PostgreSQL settings for a machine of its own");
  command->add_option("--memory-gib", given->memory_gib, "Memory of that machine; default: this one's")
      ->check(CLI::Range(1U, 65'536U))
      ->needs(suggestion);
  command->add_option("--cores", given->cores, "Cores of that machine; default: this one's")
      ->check(CLI::Range(1U, 4096U))
      ->needs(suggestion);
  CLI::Option* leak = command->add_flag("--pooler-leak-test", given->wants_leak_test,
                                        "Try to make the pooler mix up its clients; only on an empty one");
  command->add_flag("--i-am-alone", given->is_alone, "Nobody else uses this pooler now")->needs(leak);
  command->callback([&context, given] { context.status = run_with(*given, context); });
}

}  // namespace pam::cli
