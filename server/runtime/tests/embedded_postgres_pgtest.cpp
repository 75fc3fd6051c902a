#include "server/runtime/embedded_postgres.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "db/admin_connection.hpp"
#include "server/runtime/embedded_folder.hpp"
#include "server/runtime/embedded_process.hpp"
#include "tests/support/temporary_folder.hpp"

namespace pam::runtime {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;

embedded_options in(const fs::path& folder) {
  embedded_options options;
  options.folder = folder;
  return options;
}

std::string sentence_of(const embedded_options& options) {
  const auto servers = embedded_postgres::start(options);
  return servers.has_value() ? std::string{"started"} : servers.error().sentence;
}

db::admin_connection connect(const embedded_postgres& servers, const std::string& user, bool is_pooled) {
  db::admin_settings settings;
  settings.host = servers.socket_dir().string();
  settings.port = is_pooled ? servers.pgbouncer_port() : servers.pg_port();
  settings.database = is_pooled ? "auth_rw" : servers.database();
  settings.user = user;
  auto connection = db::admin_connection::connect(settings);
  if (connection.has_error()) throw std::runtime_error(connection.error().detail);
  return std::move(*connection);
}

std::string value_of(db::admin_connection& connection, const std::string& query) {
  const auto found = connection.query(query);
  if (found.has_error()) return "error: " + found.error().detail;
  return found->values.at(0).at(0).value_or("NULL");
}

/// Waits until a process is gone or a zombie that nobody collects.
bool has_ended(pid_t pid) {
  for (int i = 0; i < 2'000; ++i) {
    std::ifstream file{"/proc/" + std::to_string(pid) + "/cmdline"};
    if (!file || file.peek() == std::ifstream::traits_type::eof()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

/// A data folder that is made once; every test works on a copy of its own.
class embedded : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    original_ = std::make_unique<tests::temporary_folder>();
    auto servers = embedded_postgres::start(in(original_->path() / "dev"));
    ASSERT_TRUE(servers.has_value()) << servers.error().sentence;
    auto app = connect(*servers, "pam_app", true);
    ASSERT_TRUE(app.run("INSERT INTO accounts (email) VALUES ('kept@example.com')").has_value());
    servers->stop();
  }
  static void TearDownTestSuite() { original_.reset(); }

  embedded() {
    const std::string command = "cp -a " + (original_->path() / "dev").string() + " " + folder().string();
    if (std::system(command.c_str()) != 0) throw std::runtime_error(command);
  }

  [[nodiscard]] fs::path folder() const { return copy_.path() / "dev"; }
  [[nodiscard]] fs::path data() const { return folder() / "pg"; }
  [[nodiscard]] embedded_postgres start() const {
    auto servers = embedded_postgres::start(in(folder()));
    if (servers.has_error()) throw std::runtime_error(servers.error().sentence);
    return std::move(*servers);
  }

  static inline std::unique_ptr<tests::temporary_folder> original_;
  tests::temporary_folder copy_;
};

TEST_F(embedded, data_survive_a_restart) {
  for (int round = 0; round < 2; ++round) {
    auto servers = start();
    auto app = connect(servers, "pam_app", true);

    EXPECT_EQ(value_of(app, "SELECT email FROM accounts"), "kept@example.com");
  }
}

TEST_F(embedded, application_works_through_the_pooler_and_the_owner_directly) {
  auto servers = start();
  configuration settings;
  servers.apply_to(settings);

  auto app = connect(servers, settings.database.user, true);
  auto owner = connect(servers, settings.migrate.user, false);

  EXPECT_EQ(value_of(app, "SELECT current_user || ' ' || current_setting('lock_timeout')"), "pam_app 100ms");
  EXPECT_EQ(value_of(owner, "SELECT current_database()"), settings.migrate.database);
  EXPECT_EQ(settings.database.hosts.at(0).host, servers.socket_dir().string());
  EXPECT_EQ(settings.database.hosts.at(0).port, servers.pgbouncer_port());
  EXPECT_EQ(settings.database.database, "auth_rw");
  EXPECT_EQ(value_of(owner, "SHOW data_checksums"), "on");
  EXPECT_EQ(value_of(owner, "SHOW server_encoding"), "UTF8");
  EXPECT_EQ(value_of(owner, "SHOW fsync"), "on");
}

TEST_F(embedded, nothing_listens_on_the_network_and_nobody_else_enters_the_sockets) {
  auto servers = start();
  auto owner = connect(servers, "postgres", false);

  EXPECT_EQ(value_of(owner, "SHOW listen_addresses"), "");
  EXPECT_EQ(fs::status(servers.socket_dir()).permissions(), fs::perms::owner_all);
}

TEST_F(embedded, servers_never_run_as_root_and_stand_in_groups_of_their_own) {
  auto servers = start();

  for (const pid_t pid : {servers.pid(), servers.pgbouncer_pid()}) {
    struct stat facts{};
    ASSERT_EQ(stat(("/proc/" + std::to_string(pid)).c_str(), &facts), 0);
    EXPECT_NE(facts.st_uid, 0U);
    EXPECT_EQ(getpgid(pid), pid);
  }
}

TEST_F(embedded, stop_ends_both_servers_and_may_be_repeated) {
  auto servers = start();
  const pid_t postgres = servers.pid();
  const pid_t pgbouncer = servers.pgbouncer_pid();

  servers.stop();
  servers.stop();

  EXPECT_FALSE(servers.is_alive());
  EXPECT_EQ(kill(postgres, 0), -1);
  EXPECT_EQ(kill(pgbouncer, 0), -1);
}

TEST_F(embedded, crash_of_postgres_is_noticed_and_committed_rows_are_there_again) {
  auto servers = start();
  auto app = connect(servers, "pam_app", true);
  ASSERT_TRUE(app.run("INSERT INTO accounts (email) VALUES ('late@example.com')").has_value());
  EXPECT_TRUE(servers.is_alive());
  const pid_t pid = servers.pid();
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  while (servers.is_alive()) {
  }
  servers.stop();
  ASSERT_TRUE(fs::exists(data() / "postmaster.pid"));

  auto again = start();

  auto reader = connect(again, "pam_app", true);
  EXPECT_EQ(value_of(reader, "SELECT count(*) FROM accounts"), "2");
}

TEST_F(embedded, crash_of_pgbouncer_is_noticed_and_its_socket_does_not_stop_the_next_start) {
  auto servers = start();
  ASSERT_EQ(kill(servers.pgbouncer_pid(), SIGKILL), 0);
  while (servers.is_alive()) {
  }
  servers.stop();

  auto again = start();

  EXPECT_TRUE(again.is_alive());
}

TEST_F(embedded, stale_pid_file_whose_number_belongs_to_another_program_is_ignored) {
  const auto user = choose_user();
  ASSERT_TRUE(user.has_value());
  const process_spec spec{.arguments = {"/bin/sleep", "600"},
                          .user = *user,
                          .folder = "/",
                          .log = "/dev/null",
                          .death_signal = SIGKILL};
  auto other = child_process::start(spec);
  ASSERT_TRUE(other.has_value());
  std::ofstream{data() / "postmaster.pid"} << other->pid() << "\n" << data().string() << "\n";

  EXPECT_EQ(running_postmaster(data()), 0);
  EXPECT_EQ(sentence_of(in(folder())), "started");
}

TEST_F(embedded, folder_is_held_by_one_process) {
  auto servers = start();

  EXPECT_EQ(sentence_of(in(folder())), folder().string() + " is in use by another pam-auth dev (process " +
                                           std::to_string(getpid()) +
                                           "): stop it, or choose another data folder.");
}

TEST_F(embedded, data_of_another_major_version_ask_for_that_version) {
  std::ofstream{data() / "PG_VERSION"} << "9\n";
  embedded_options options = in(folder());

  const std::string automatic = sentence_of(options);

  EXPECT_EQ(automatic,
            "The data were made by PostgreSQL 9, which is not installed: install it (apt-get install "
            "postgresql-9), "
            "or move the data folder away to start afresh.");
}

TEST_F(embedded, truncated_control_file_is_called_damage) {
  fs::resize_file(data() / "global" / "pg_control", 100);

  EXPECT_THAT(sentence_of(in(folder())), HasSubstr("is damaged: restore it from a backup"));
}

TEST_F(embedded, half_made_folder_is_not_taken_for_data) {
  fs::remove(data() / "PG_VERSION");

  EXPECT_EQ(sentence_of(in(folder())),
            data().string() +
                " is no complete PostgreSQL data folder: move it away to start afresh, or choose another.");
}

TEST_F(embedded, folder_of_another_user_is_refused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  ASSERT_EQ(chown(data().c_str(), 54'321, 54'321), 0);

  EXPECT_THAT(sentence_of(in(folder())), HasSubstr("belongs to another user (number 54321)"));
}

TEST_F(embedded, folder_that_the_servers_cannot_enter_is_refused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root runs the servers as another user";
  ASSERT_EQ(chmod(copy_.path().c_str(), 0700), 0);

  EXPECT_THAT(sentence_of(in(folder())), HasSubstr("cannot enter " + folder().string()));
}

TEST_F(embedded, missing_pgbouncer_is_one_sentence_and_leaves_no_server_behind) {
  embedded_options options = in(folder());
  options.pgbouncer = "/nowhere/pgbouncer";

  EXPECT_EQ(sentence_of(options), "There is no PgBouncer at /nowhere/pgbouncer: correct PAM_PGBOUNCER.");
  EXPECT_EQ(running_postmaster(data()), 0);
}

TEST_F(embedded, long_folder_gets_its_sockets_elsewhere) {
  const fs::path deep = copy_.path() / std::string(120, 'd');
  ASSERT_EQ(mkdir(deep.c_str(), 0755), 0);
  fs::rename(folder(), deep / "dev");
  fs::path sockets;
  {
    auto servers = embedded_postgres::start(in(deep / "dev"));
    ASSERT_TRUE(servers.has_value()) << servers.error().sentence;
    sockets = servers->socket_dir();
    EXPECT_THAT(sockets.string(), testing::StartsWith("/tmp/pam-auth-"));
    EXPECT_TRUE(servers->is_alive());
  }
  EXPECT_FALSE(fs::exists(sockets));
}

TEST(embedded_postgres, missing_postgres_is_one_sentence) {
  const tests::temporary_folder folder;
  embedded_options options = in(folder.path());
  options.postgres = "/nowhere";

  EXPECT_EQ(
      sentence_of(options),
      "There is no PostgreSQL in /nowhere: correct PAM_PG_BIN, the folder that holds postgres and initdb.");
}

TEST(embedded_postgres, nameless_folder_is_refused) {
  EXPECT_EQ(sentence_of({}), "No data folder is named: choose one, or use --ephemeral.");
}

TEST(embedded_postgres, ephemeral_data_leave_nothing_behind) {
  embedded_options options;
  options.is_ephemeral = true;
  std::vector<std::string> lines;
  auto servers =
      embedded_postgres::start(options, [&lines](std::string_view line) { lines.emplace_back(line); });
  ASSERT_TRUE(servers.has_value()) << servers.error().sentence;
  const fs::path sockets = servers->socket_dir();
  auto app = connect(*servers, "pam_app", true);
  auto owner = connect(*servers, "postgres", false);

  EXPECT_EQ(value_of(app, "SELECT count(*) FROM accounts"), "0");
  EXPECT_EQ(value_of(owner, "SHOW fsync"), "off");
  servers->stop();
  EXPECT_FALSE(fs::exists(sockets.parent_path()));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("applied 0001_roles")));
  EXPECT_THAT(lines.back(), HasSubstr("PostgreSQL and PgBouncer are ready"));
}

TEST(embedded_postgres, servers_do_not_outlive_a_killed_parent) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    embedded_options options;
    options.is_ephemeral = true;
    auto servers = embedded_postgres::start(options);
    std::array<pid_t, 2> pids{};
    std::string folder(64, '\0');
    if (servers.has_value()) {
      pids = {servers->pid(), servers->pgbouncer_pid()};
      folder.replace(0, servers->socket_dir().string().size(), servers->socket_dir().string());
    }
    if (write(ends[1], pids.data(), sizeof pids) < 0 || write(ends[1], folder.data(), folder.size()) < 0)
      _exit(1);
    pause();
    _exit(0);
  }
  close(ends[1]);
  std::array<pid_t, 2> pids{};
  std::string folder(64, '\0');
  const ssize_t pid_bytes = read(ends[0], pids.data(), sizeof pids);
  const ssize_t folder_bytes = read(ends[0], folder.data(), folder.size());
  close(ends[0]);

  // Before anything may fail: whoever reads this program's output waits for the forked one, too.
  ASSERT_EQ(kill(parent, SIGKILL), 0);
  waitpid(parent, nullptr, 0);

  ASSERT_EQ(pid_bytes, static_cast<ssize_t>(sizeof pids));
  ASSERT_EQ(folder_bytes, static_cast<ssize_t>(folder.size()));
  ASSERT_GT(pids[0], 0) << "the servers did not start";
  EXPECT_TRUE(has_ended(pids[0]));
  EXPECT_TRUE(has_ended(pids[1]));
  fs::remove_all(fs::path{folder.c_str()}.parent_path());
}

TEST(child_process, program_that_cannot_be_started_says_why) {
  const auto user = choose_user();
  ASSERT_TRUE(user.has_value());
  const process_spec spec{
      .arguments = {"/nowhere/program"}, .user = *user, .folder = "/", .log = "/dev/null", .death_signal = 0};

  const auto child = child_process::start(spec);

  ASSERT_TRUE(child.has_error());
  EXPECT_EQ(child.error().sentence,
            "/nowhere/program could not be started as " + user->name + ": No such file or directory.");
}

TEST(child_process, variables_of_the_shell_do_not_reach_postgres) {
  const tests::temporary_folder folder;
  const auto user = choose_user();
  ASSERT_TRUE(user.has_value());
  ASSERT_EQ(setenv("PGPORT", "1", 1), 0);
  const process_spec spec{.arguments = {"/usr/bin/env"},
                          .user = *user,
                          .folder = "/",
                          .log = folder.path() / "log",
                          .death_signal = 0};

  auto child = child_process::start(spec);
  ASSERT_TRUE(child.has_value());
  EXPECT_EQ(child->wait(10s), 0);
  ASSERT_EQ(unsetenv("PGPORT"), 0);

  std::ostringstream text;
  text << std::ifstream{spec.log}.rdbuf();
  EXPECT_THAT(text.str(), testing::Not(HasSubstr("PGPORT")));
  EXPECT_THAT(text.str(), HasSubstr("LC_ALL=C"));
}

}  // namespace
}  // namespace pam::runtime
