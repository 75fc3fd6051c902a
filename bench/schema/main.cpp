// What size does to a refresh (P7) and what a refresh costs the database (P8), on the real schema with the
// real statement, with little memory: the shared buffers of `--settings` and the page cache of
// `--page-cache`.
// `./dev bench schema` is the short form, a fiftieth of everything; the full one fills first and measures
// later:
//   ./dev bench schema --data /tmp/p7 --large 20000000 --small 200000 --settings 'shared_buffers = 4GB'
//   --fill-for 60
//   ./dev bench schema --data /tmp/p7 --large 20000000 --small 200000 --page-cache 6144 --seconds 30 --rate
//   700
// The first is repeated until it says that all is filled; the second ends with what stops the server.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/schema/fill.hpp"
#include "bench/schema/page_cache.hpp"
#include "bench/schema/refreshes.hpp"

namespace pam::bench {
namespace {

struct plan {
  std::int64_t small = 20'000;
  std::int64_t large = 400'000;
  int seconds = 5;
  int rate = 300;
  int repeats = 5;
  std::string settings = "shared_buffers = 80MB\nmax_wal_size = 64MB";
  std::uint64_t page_cache_mb = 120;
  std::string data;
  int fill_for = 0;
};

constexpr double p7_target = 1.2;
constexpr double p8_wal_target = 320;
constexpr double p8_hot_target = 95;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// A private server by tests/support/services.sh with `settings`, ended with the object unless it has a
/// folder to be found again in.
class service {
 public:
  service(const std::string& settings, const std::string& kept)
      : directory_(kept.empty() ? std::filesystem::temp_directory_path() /
                                      fmt::format("pam_bench_schema_{}", ::getpid())
                                : std::filesystem::absolute(kept)),
        is_kept_(!kept.empty()) {
    ::setenv("PAM_TEST_PG_SETTINGS", settings.c_str(), 1);
    ::setenv("PAM_TEST_PG_FSYNC", "on", 1);
    run("start");
    std::ifstream env{directory_ / "env"};
    for (std::string line; std::getline(env, line);) {
      const auto equals = line.find('=');
      if (equals == std::string::npos) continue;
      const std::string name = line.substr(0, equals);
      if (name == "PAM_TEST_PG_SOCKET_DIR") where_.host = line.substr(equals + 1);
      if (name == "PAM_TEST_PG_PORT")
        where_.port = static_cast<std::uint16_t>(std::stoi(line.substr(equals + 1)));
      if (name == "PAM_TEST_PG_SUPERUSER") where_.user = line.substr(equals + 1);
      if (name == "PAM_TEST_SERVICES_ROOT") files_ = line.substr(equals + 1) + "/data";
    }
  }
  ~service() {
    if (is_kept_) return;
    try {
      run("stop");
      std::filesystem::remove_all(directory_);
    } catch (const std::exception& failure) {
      fmt::print(stderr, "{}\n", failure.what());
    }
  }
  service(const service&) = delete;
  service& operator=(const service&) = delete;
  [[nodiscard]] const db::admin_settings& where() const { return where_; }
  /// The folder of the server's data.
  [[nodiscard]] const std::filesystem::path& files() const { return files_; }

 private:
  void run(const char* verb) const {
    const std::string command = fmt::format("tests/support/services.sh {} '{}'", verb, directory_.string());
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
  }
  std::filesystem::path directory_;
  bool is_kept_;
  db::admin_settings where_;
  std::filesystem::path files_;
};

void vacuum_by_itself(const db::admin_settings& where, bool is_on) {
  auto on = open(where, "postgres");
  run(on, fmt::format("ALTER SYSTEM SET autovacuum = {}", is_on ? "on" : "off"));
  run(on, "SELECT pg_reload_conf()");
}

/// WAL, HOT share and row writes of refreshes of few sessions, after every page had its full image.
cost cost_of(const db::admin_settings& where, const filled& how,
             std::unordered_map<std::int64_t, std::int32_t>& generations) {
  arrival few{.rate = 400, .length = std::chrono::seconds{2}, .sessions = 200};
  refresh(where, how, few, generations);
  // A backend's counters arrive when it ends; each run has connections of its own.
  const counters before = count(where, how);
  const sample done = refresh(where, how, few, generations);
  const counters after = count(where, how);
  const auto each = [&](double difference) { return difference / static_cast<double>(done.refreshes); };
  if (after.full_page_images > before.full_page_images)
    fmt::print("note: {} full-page images inside, their bytes counted\n",
               after.full_page_images - before.full_page_images);
  return {.wal_bytes = each(after.wal_bytes - before.wal_bytes),
          .hot_percent = 100 * (after.hot_updates - before.hot_updates) / (after.updates - before.updates),
          .updates = each(after.updates - before.updates),
          .inserts = each(after.inserts - before.inserts)};
}

void measure(const plan& how, const std::string& json) {
  const service own{how.settings, how.data};
  const filled small{how.small, "pam_bench_small"};
  const filled large{how.large, "pam_bench_large"};
  const std::chrono::seconds budget{how.fill_for > 0 ? how.fill_for : 86'400};
  // Vacuum has nothing to do before the end, and nothing shall run between two calls.
  vacuum_by_itself(own.where(), false);
  const bool is_filled = fill(own.where(), small, budget) && fill(own.where(), large, budget);
  if (how.fill_for > 0) {
    fmt::print("{}\n", is_filled ? "All is filled." : "Not filled yet: run it again.");
    return;
  }
  vacuum_by_itself(own.where(), true);
  page_cache_bound memory{own.files(), how.page_cache_mb * 1024 * 1024};
  auto of_small = refreshed_before(own.where(), small);
  auto of_large = refreshed_before(own.where(), large);
  memory.begin();
  std::vector<double> ratios;
  fmt::print("{:>8} {:>14} {:>14} {:>14} {:>14} {:>8}\n", "sample", "small p50 ms", "small p99 ms",
             "large p50 ms", "large p99 ms", "ratio");
  std::vector<double> small_p99;
  std::vector<double> large_p99;
  const auto in_ms = [](std::chrono::microseconds time) { return static_cast<double>(time.count()) / 1000; };
  for (int repeat = 0; repeat < how.repeats; ++repeat) {
    const arrival come{
        .rate = how.rate, .length = std::chrono::seconds{how.seconds}, .sessions = small.sessions};
    const arrival come_large{
        .rate = how.rate, .length = std::chrono::seconds{how.seconds}, .sessions = large.sessions};
    const sample few = refresh(own.where(), small, come, of_small);
    const sample many = refresh(own.where(), large, come_large, of_large);
    small_p99.push_back(in_ms(few.p99));
    large_p99.push_back(in_ms(many.p99));
    ratios.push_back(in_ms(many.p99) / in_ms(few.p99));
    fmt::print("{:>8} {:>14.2f} {:>14.2f} {:>14.2f} {:>14.2f} {:>8.2f}\n", repeat, in_ms(few.p50),
               in_ms(few.p99), in_ms(many.p50), in_ms(many.p99), ratios.back());
  }
  const bool is_bounded = memory.holds();
  fmt::print("\nThe page cache of the server's files was {}.\n", memory.to_string());
  const cost paid = cost_of(own.where(), small, of_small);
  const double ratio = median(ratios);
  fmt::print("P7: p99 of {} sessions ÷ of {}: {:.2f} (target {:.1f}), {} refreshes/s\n", large.sessions,
             small.sessions, ratio, p7_target, how.rate);
  fmt::print(
      "P8: {:.0f} bytes of WAL a refresh (target {:.0f}), {:.1f} % HOT (target {:.0f}), {:.2f} updates, "
      "{:.2f} "
      "inserts\n",
      paid.wal_bytes, p8_wal_target, paid.hot_percent, p8_hot_target, paid.updates, paid.inserts);
  if (how.data.empty()) {
    drop(own.where(), large);
    drop(own.where(), small);
  } else {
    fmt::print("The databases are kept; tests/support/services.sh stop '{}' ends and removes them.\n",
               how.data);
  }
  if (json.empty()) return;
  std::ofstream{json}
      << fmt::format(
             R"([{{"name":"p7_refresh_p99_large_to_small","ours":{:.3f},"reference":{:.3f},"ratio":{:.3f},"target":{},"met":{},"page_cache_mb":{},"is_bounded":{}}},)"
             R"({{"name":"p8_wal_bytes","ours":{:.1f},"reference":{},"ratio":{:.3f},"target":1,"met":{}}},)"
             R"({{"name":"p8_hot_percent","ours":{:.2f},"reference":{},"ratio":{:.3f},"target":1,"met":{}}}])",
             median(large_p99), median(small_p99), ratio, p7_target, ratio <= p7_target, how.page_cache_mb,
             is_bounded, paid.wal_bytes, p8_wal_target, paid.wal_bytes / p8_wal_target,
             paid.wal_bytes <= p8_wal_target, paid.hot_percent, p8_hot_target,
             paid.hot_percent / p8_hot_target, paid.hot_percent >= p8_hot_target)
      << '\n';
}

}  // namespace
}  // namespace pam::bench

int main(int argc, char** argv) {
  pam::bench::plan how;
  std::string json;
  CLI::App app{"A refresh on the real schema: what size does to it, what it costs"};
  app.add_option("--small", how.small, "sessions of the small database")->check(CLI::PositiveNumber);
  app.add_option("--large", how.large, "sessions of the large database")->check(CLI::PositiveNumber);
  app.add_option("--seconds", how.seconds, "length of one sample")->check(CLI::PositiveNumber);
  app.add_option("--rate", how.rate, "refreshes a second, open loop")->check(CLI::PositiveNumber);
  app.add_option("--repeats", how.repeats, "samples of each, interleaved")->check(CLI::PositiveNumber);
  app.add_option("--settings", how.settings, "lines for postgresql.conf");
  app.add_option("--page-cache", how.page_cache_mb, "megabytes of the server's files that stay in memory")
      ->check(CLI::PositiveNumber);
  app.add_option("--data", how.data, "folder of a server that is kept for the next run");
  app.add_option("--fill-for", how.fill_for, "only fill, for about so many seconds; needs --data")
      ->check(CLI::PositiveNumber)
      ->needs("--data");
  app.add_option("--json", json, "file for the result");
  CLI11_PARSE(app, argc, argv);
  try {
    pam::bench::measure(how, json);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "{}\n", failure.what());
    return 1;
  }
  return 0;
}
