#include "server/runtime/embedded_postgres.hpp"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

#include "db/admin_connection.hpp"
#include "server/cli/migration_runner.hpp"
#include "server/runtime/embedded_folder.hpp"
#include "server/runtime/embedded_process.hpp"

namespace pam::runtime {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr std::uintmax_t log_limit = 4U << 20U;
// initdb takes 40 MB, the first WAL segments 16 MB each.
constexpr std::uintmax_t room_needed = 256U << 20U;

void say(const std::function<void(std::string_view)>& log, std::string_view line) {
  if (log) log(line);
}

/// A log file of which only what is added from now on counts. One that has grown large is put aside first.
class log_since {
 public:
  explicit log_since(fs::path file) : file_(std::move(file)) {
    std::error_code failure;
    const std::uintmax_t size = fs::file_size(file_, failure);
    if (failure) return;  // not there yet
    if (size < log_limit) {
      begin_ = static_cast<std::streamoff>(size);
      return;
    }
    fs::path old = file_;
    old += ".1";
    fs::rename(file_, old, failure);
  }

  [[nodiscard]] const fs::path& file() const { return file_; }
  [[nodiscard]] std::string text() const {
    std::ifstream source{file_};
    source.seekg(begin_);
    std::ostringstream content;
    content << source.rdbuf();
    return content.str();
  }

 private:
  fs::path file_;
  std::streamoff begin_ = 0;
};

/// One flush of the file system, where initdb would flush a thousand files one after the other.
bool sync_disk(const fs::path& inside) {
  const int fd = ::open(inside.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool is_done = syncfs(fd) == 0;
  const int number = errno;
  close(fd);
  errno = number;
  return is_done;
}

bool has_locale(const char* name) {
  const locale_t found = newlocale(LC_ALL_MASK, name, nullptr);
  if (found == nullptr) return false;
  freelocale(found);
  return true;
}

/// Writes a file that `user` owns and nobody else reads.
embedded_result<void> write_private(const fs::path& file, const std::string& text, const process_user& user) {
  unlink(file.c_str());
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return embedded_error{"Cannot write " + file.string() + ": " + std::strerror(errno) + "."};
  const bool is_written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                          (!user.is_other || fchown(fd, user.uid, user.gid) == 0);
  const int number = errno;
  close(fd);
  if (is_written) return {};
  return embedded_error{"Cannot write " + file.string() + ": " + std::strerror(number) + "."};
}

std::string pgbouncer_ini(const fs::path& sockets, const fs::path& users, const embedded_options& options,
                          std::uint16_t pg_port, std::uint16_t port) {
  const std::string server = "host=" + sockets.string() + " port=" + std::to_string(pg_port) +
                             " dbname=" + options.database + " auth_user=postgres";
  std::ostringstream text;
  text << "[databases]\n"
       << "auth_rw = " << server << "\n"
       << "auth_admin = " << server << " pool_mode=session pool_size=4\n\n"
       << "[pgbouncer]\n"
       << "listen_addr =\n"
       << "listen_port = " << port << "\n"
       << "unix_socket_dir = " << sockets.string() << "\n"
       << "auth_type = trust\n"
       << "auth_file = " << users.string() << "\n"
       << "admin_users = postgres\n"
       << "stats_users = pam_app\n"  // SHOW VERSION tells the server which pooler it has
       << "pool_mode = transaction\n"
       << "default_pool_size = " << options.pool_size << "\n"
       << "max_client_conn = 1000\n"
       << "server_login_retry = 0.2\n"
       << "server_check_delay = 5\n"
       << "query_wait_timeout = 5\n"
       << "ignore_startup_parameters = extra_float_digits\n";
  return text.str();
}

}  // namespace

struct embedded_postgres::impl {
  embedded_options options;
  std::function<void(std::string_view)> log;
  process_user user;
  embedded_folder folder;  // before the processes: removed after they ended
  fs::path bin;
  child_process postgres;
  child_process pgbouncer;

  embedded_result<void> start_all();
  embedded_result<void> make_data();
  embedded_result<void> clear_stale_pid();
  embedded_result<void> start_postgres();
  embedded_result<void> wait_for_postgres(const log_since& written);
  embedded_result<void> make_database();
  embedded_result<void> migrate();
  embedded_result<void> start_pgbouncer();
  embedded_result<void> wait_for_pgbouncer(const log_since& written);
  [[nodiscard]] db::admin_settings direct(const std::string& database) const;
  [[nodiscard]] std::vector<std::string> postgres_arguments() const;
  void stop();
};

db::admin_settings embedded_postgres::impl::direct(const std::string& database) const {
  db::admin_settings settings;
  settings.host = folder.sockets().string();
  settings.port = 5432;
  settings.database = database;
  settings.user = "postgres";
  settings.sslmode = "disable";
  settings.application_name = "pam-auth dev";
  return settings;
}

/// Into a folder beside, renamed when it is complete: an interrupted initdb leaves nothing that looks done.
embedded_result<void> embedded_postgres::impl::make_data() {
  struct statvfs disk{};
  if (statvfs(folder.path().c_str(), &disk) == 0 && disk.f_bavail * disk.f_frsize < room_needed) {
    return embedded_error{explain_failure("No space left on device", folder.path().string())};
  }
  say(log, "making the database in " + folder.data().string());
  const fs::path fresh = folder.path() / "pg.new";
  std::error_code failure;
  fs::remove_all(fresh, failure);
  if (mkdir(fresh.c_str(), 0700) != 0 || (user.is_other && chown(fresh.c_str(), user.uid, user.gid) != 0)) {
    return embedded_error{"Cannot make " + fresh.string() + ": " + std::strerror(errno) + "."};
  }
  const log_since written{folder.logs() / "initdb.log"};
  const process_spec spec{.arguments = {(bin / "initdb").string(), "--pgdata=" + fresh.string(),
                                        "--username=postgres", "--auth=trust", "--encoding=UTF8",
                                        std::string{"--locale="} + (has_locale("C.UTF-8") ? "C.UTF-8" : "C"),
                                        "--lc-messages=C", "--data-checksums", "--no-sync"},
                          .user = user,
                          .folder = folder.logs(),
                          .log = written.file(),
                          .death_signal = SIGTERM};
  auto child = child_process::start(spec);
  if (child.has_error()) return child.error();
  const std::optional<int> status = child->wait(options.timeout);
  if (!status)
    return embedded_error{"initdb took longer than " + std::to_string(options.timeout.count()) +
                          " ms: is the disk slow?"};
  if (*status != 0) return embedded_error{explain_failure(written.text(), folder.path().string())};
  if (!options.is_ephemeral && !sync_disk(fresh)) {
    return embedded_error{"Cannot write " + fresh.string() + " to disk: " + std::strerror(errno) + "."};
  }
  fs::rename(fresh, folder.data(), failure);
  if (failure) return embedded_error{"Cannot rename " + fresh.string() + ": " + failure.message() + "."};
  return {};
}

/// We hold the folder's lock, so a postmaster on it is either the orphan of a killed run that is shutting
/// down, or was started by hand. A stale file whose number was given to another program would make
/// PostgreSQL refuse (postmaster/miscinit.c, CreateLockFile).
embedded_result<void> embedded_postgres::impl::clear_stale_pid() {
  const auto end = steady_clock::now() + 10s;
  for (pid_t pid = running_postmaster(folder.data()); pid != 0; pid = running_postmaster(folder.data())) {
    if (steady_clock::now() >= end) {
      return embedded_error{folder.data().string() + " is in use by another PostgreSQL (process " +
                            std::to_string(pid) + "): stop it, or choose another data folder."};
    }
    std::this_thread::sleep_for(20ms);
  }
  std::error_code failure;
  fs::remove(folder.data() / "postmaster.pid", failure);
  if (failure) {
    return embedded_error{"Cannot remove the stale " + (folder.data() / "postmaster.pid").string() + ": " +
                          failure.message() + "."};
  }
  return {};
}

std::vector<std::string> embedded_postgres::impl::postgres_arguments() const {
  std::vector<std::string> arguments{(bin / "postgres").string(), "-D", folder.data().string()};
  std::vector<std::string> settings{
      "listen_addresses=",
      "port=5432",
      "unix_socket_directories=" + folder.sockets().string(),
      "max_connections=" + std::to_string(options.max_connections),
      "logging_collector=off",
      "log_destination=stderr",
      "lc_messages=C",
      "log_line_prefix=%m [%p] ",
      "timezone=UTC",
      "log_timezone=UTC",
      "recovery_init_sync_method=syncfs",  // after a crash; the default flushes every file on its own
  };
  if (options.is_ephemeral) {
    settings.insert(settings.end(), {"fsync=off", "full_page_writes=off", "synchronous_commit=off"});
  }
  for (std::string& setting : settings) {
    arguments.emplace_back("-c");
    arguments.push_back(std::move(setting));
  }
  return arguments;
}

embedded_result<void> embedded_postgres::impl::start_postgres() {
  const log_since written{folder.logs() / "postgres.log"};
  const process_spec spec{.arguments = postgres_arguments(),
                          .user = user,
                          .folder = folder.data(),
                          .log = written.file(),
                          .death_signal = SIGINT};  // a fast shutdown
  auto child = child_process::start(spec);
  if (child.has_error()) return child.error();
  postgres = std::move(*child);
  return wait_for_postgres(written);
}

embedded_result<void> embedded_postgres::impl::wait_for_postgres(const log_since& written) {
  const auto end = steady_clock::now() + options.timeout;
  std::string last;
  // Each try is a line in its log while the server recovers.
  for (auto pause = 5ms; steady_clock::now() < end; pause = std::min(2 * pause, 100ms)) {
    if (!postgres.is_alive()) {
      return embedded_error{explain_failure(written.text(), folder.path().string())};
    }
    const auto connection = db::admin_connection::connect(direct("postgres"));
    if (connection.has_value()) return {};
    last = connection.error().detail;
    std::this_thread::sleep_for(pause);
  }
  return embedded_error{"PostgreSQL does not answer after " + std::to_string(options.timeout.count()) +
                        " ms (" + last + "): look into " + written.file().string() + "."};
}

embedded_result<void> embedded_postgres::impl::make_database() {
  auto connection = db::admin_connection::connect(direct("postgres"));
  if (connection.has_error()) return embedded_error{"PostgreSQL: " + connection.error().detail + "."};
  const auto found =
      connection->query("SELECT 1 FROM pg_database WHERE datname = $1", {db::text_value{options.database}});
  if (found.has_error()) return embedded_error{"PostgreSQL: " + found.error().detail + "."};
  if (!found->empty()) return {};
  const auto made = connection->run("CREATE DATABASE " + db::quote_identifier(options.database));
  if (made.has_error()) {
    return embedded_error{"The database " + options.database + " could not be made: " + made.error().detail +
                          "."};
  }
  return {};
}

embedded_result<void> embedded_postgres::impl::migrate() {
  auto connection = db::admin_connection::connect(direct(options.database));
  if (connection.has_error()) return embedded_error{"PostgreSQL: " + connection.error().detail + "."};
  cli::migration_options how;
  how.allow_contract = true;  // nothing of a previous version runs against a private database
  how.on_progress = [this](const cli::migration_progress& event) {
    if (event.what != cli::migration_progress::step::begun) say(log, event.line);
  };
  const auto done = cli::migrate_up(*connection, how);
  if (done.has_error()) return embedded_error{done.error().sentence};
  return {};
}

embedded_result<void> embedded_postgres::impl::start_pgbouncer() {
  const auto program = find_pgbouncer(options.pgbouncer);
  if (program.has_error()) return program.error();
  const fs::path ini = folder.sockets() / "pgbouncer.ini";
  const fs::path users = folder.sockets() / "users.txt";
  // auth_user looks every other role up, so a role that is made later may connect at once; the console, which
  // tells pam_app what the pooler is and grants, looks nobody up.
  auto made = write_private(users, "\"postgres\" \"\"\n\"pam_app\" \"\"\n", user);
  if (made.has_value()) {
    made = write_private(ini, pgbouncer_ini(folder.sockets(), users, options, 5432, 6432), user);
  }
  if (made.has_error()) return made;
  // PgBouncer refuses to start over the socket that a killed one left.
  unlink((folder.sockets() / ".s.PGSQL.6432").c_str());

  const log_since written{folder.logs() / "pgbouncer.log"};
  const process_spec spec{
      .arguments = {program->string(), ini.string()},
      .user = user,
      .folder = folder.sockets(),
      .log = written.file(),
      .death_signal = SIGKILL};  // it keeps nothing, and newer ones wait for clients on SIGTERM
  auto child = child_process::start(spec);
  if (child.has_error()) return child.error();
  pgbouncer = std::move(*child);
  return wait_for_pgbouncer(written);
}

embedded_result<void> embedded_postgres::impl::wait_for_pgbouncer(const log_since& written) {
  db::admin_settings pooled = direct("auth_rw");
  pooled.port = 6432;
  pooled.user = "pam_app";
  const auto end = steady_clock::now() + options.timeout;
  std::string last;
  while (steady_clock::now() < end) {
    if (!pgbouncer.is_alive()) {
      return embedded_error{"PgBouncer ended while it started: look into " + written.file().string() + "."};
    }
    auto connection = db::admin_connection::connect(pooled);
    if (connection.has_value()) {
      const auto answer = connection->query("SELECT 1");
      if (answer.has_value()) return {};
      last = answer.error().detail;
    } else {
      last = connection.error().detail;
    }
    std::this_thread::sleep_for(5ms);
  }
  return embedded_error{"PgBouncer does not serve after " + std::to_string(options.timeout.count()) +
                        " ms (" + last + "): look into " + written.file().string() + "."};
}

embedded_result<void> embedded_postgres::impl::start_all() {
  auto who = choose_user();
  if (who.has_error()) return who.error();
  user = std::move(*who);
  auto opened = embedded_folder::open(options.is_ephemeral ? fs::path{} : options.folder, user);
  if (opened.has_error()) return opened.error();
  folder = std::move(*opened);

  const bool is_first = !fs::exists(folder.data());
  const int version = folder.data_version();
  if (!is_first && version == 0) {
    return embedded_error{explain_failure("is not a valid data directory", folder.data().string())};
  }
  auto found = find_postgres(options.postgres, version);
  if (found.has_error()) return found.error();
  bin = std::move(*found);

  using step = embedded_result<void> (impl::*)();
  for (const step next : {is_first ? &impl::make_data : &impl::clear_stale_pid, &impl::start_postgres,
                          &impl::make_database, &impl::migrate, &impl::start_pgbouncer}) {
    const auto done = (this->*next)();
    if (done.has_error()) return done;
  }
  say(log, "PostgreSQL and PgBouncer are ready in " + folder.sockets().string());
  return {};
}

void embedded_postgres::impl::stop() {
  pgbouncer.stop({{SIGTERM, 1s}});
  if (options.is_ephemeral) {
    postgres.stop({{SIGQUIT, 5s}});  // its data are removed anyway
  } else {
    postgres.stop({{SIGINT, 15s}, {SIGQUIT, 5s}});
  }
  folder.close();
}

embedded_postgres::embedded_postgres(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
embedded_postgres::embedded_postgres(embedded_postgres&&) noexcept = default;
embedded_postgres& embedded_postgres::operator=(embedded_postgres&& other) noexcept {
  if (this != &other) {
    stop();
    impl_ = std::move(other.impl_);
  }
  return *this;
}
embedded_postgres::~embedded_postgres() {
  stop();
}

embedded_result<embedded_postgres> embedded_postgres::start(
    const embedded_options& options, const std::function<void(std::string_view)>& log) {
  if (!options.is_ephemeral && options.folder.empty()) {
    return embedded_error{"No data folder is named: choose one, or use --ephemeral."};
  }
  embedded_postgres servers{std::make_unique<impl>()};
  servers.impl_->options = options;
  servers.impl_->log = log;
  const auto done = servers.impl_->start_all();
  if (done.has_error()) return done.error();
  return servers;
}

const fs::path& embedded_postgres::socket_dir() const {
  return impl_->folder.sockets();
}

const std::string& embedded_postgres::database() const {
  return impl_->options.database;
}

pid_t embedded_postgres::pid() const {
  return impl_->postgres.pid();
}

pid_t embedded_postgres::pgbouncer_pid() const {
  return impl_->pgbouncer.pid();
}

bool embedded_postgres::is_alive() {
  const bool has_postgres = impl_->postgres.is_alive();
  return impl_->pgbouncer.is_alive() && has_postgres;
}

void embedded_postgres::apply_to(configuration& settings) const {
  settings.database.hosts = {{.host = socket_dir().string(), .port = pgbouncer_port()}};
  settings.database.database = "auth_rw";
  settings.database.user = "pam_app";
  settings.database.password.clear();
  settings.database.sslmode = "disable";
  settings.migrate.host = socket_dir().string();
  settings.migrate.port = pg_port();
  settings.migrate.database = database();
  settings.migrate.user = superuser();
  settings.migrate.password.clear();
}

void embedded_postgres::stop() {
  if (impl_ != nullptr) impl_->stop();
}

}  // namespace pam::runtime
