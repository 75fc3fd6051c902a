#include "server/runtime/embedded_folder.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

namespace pam::runtime {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// sun_path holds 108 bytes with its NUL (unix(7)).
constexpr std::size_t socket_path_limit = 107;
constexpr std::string_view longest_socket_name = "/.s.PGSQL.65535.lock";

embedded_error cannot(std::string_view what, const fs::path& path, int number) {
  return {std::string{"Cannot "} + std::string{what} + " " + path.string() + ": " + std::strerror(number) +
          "; choose another data folder."};
}

/// A result that holds a path. Said so, because a path also converts to the text of an error.
embedded_result<fs::path> found(fs::path path) {
  return embedded_result<fs::path>{boost::system::in_place_value, std::move(path)};
}

bool is_program(const fs::path& file) {
  return access(file.c_str(), X_OK) == 0 && fs::is_regular_file(file);
}

bool has_postgres(const fs::path& bin) {
  return is_program(bin / "postgres") && is_program(bin / "initdb");
}

/// The folder of the PATH that holds `program`, empty when none does.
fs::path from_path(const char* program) {
  const char* variable = std::getenv("PATH");
  std::string_view rest = variable == nullptr ? "" : variable;
  while (!rest.empty()) {
    const std::size_t end = rest.find(':');
    const fs::path folder{rest.substr(0, end)};
    if (!folder.empty() && is_program(folder / program)) return folder;
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return {};
}

int as_number(std::string_view text) {
  int value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc{} && end == text.data() + text.size() ? value : 0;
}

/// A folder of mode 0700 that belongs to `user`.
embedded_result<void> make_private(const fs::path& path, const process_user& user) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return cannot("make", path, errno);
  struct stat facts{};
  if (lstat(path.c_str(), &facts) != 0) return cannot("look at", path, errno);
  if (!S_ISDIR(facts.st_mode)) return embedded_error{path.string() + " is no folder: move it away."};
  if (facts.st_uid == user.uid) return {};
  if (!user.is_other || facts.st_uid != 0) {
    return embedded_error{path.string() + " belongs to another user (number " + std::to_string(facts.st_uid) +
                          "), and the database runs as " + user.name +
                          ": run as its owner, or choose another data folder."};
  }
  if (lchown(path.c_str(), user.uid, user.gid) != 0) return cannot("give away", path, errno);
  return {};
}

/// Whether the user, not we, can enter a folder: every parent counts.
bool can_enter(const fs::path& path, const process_user& user) {
  if (!user.is_other) return access(path.c_str(), X_OK) == 0;
  const process_spec spec{.arguments = {"/usr/bin/test", "-x", path.string()},
                          .user = user,
                          .folder = "/",
                          .log = "/dev/null",
                          .death_signal = 0};
  auto child = child_process::start(spec);
  if (child.has_error()) return false;
  return child->wait(5s) == 0;
}

embedded_result<fs::path> make_temporary(const process_user& user) {
  std::string pattern = "/tmp/pam-auth-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) return cannot("make", pattern, errno);
  const auto owned = make_private(pattern, user);
  if (owned.has_error()) return owned.error();
  return found(pattern);
}

}  // namespace

embedded_result<embedded_folder> embedded_folder::open(const fs::path& path, const process_user& user) {
  embedded_folder folder;
  if (path.empty()) {
    auto made = make_temporary(user);
    if (made.has_error()) return made.error();
    folder.path_ = std::move(*made);
    folder.is_temporary_ = true;
  } else {
    std::error_code failure;
    folder.path_ = fs::absolute(path, failure).lexically_normal();
    if (!failure) fs::create_directories(folder.path_, failure);
    if (failure) return cannot("make", path, failure.value());
  }
  auto ready = folder.lock();
  if (ready.has_value()) ready = folder.prepare(user);
  if (ready.has_error()) return ready.error();
  return folder;
}

embedded_folder::embedded_folder(embedded_folder&& other) noexcept
    : path_(std::move(other.path_)),
      sockets_(std::move(other.sockets_)),
      lock_fd_(std::exchange(other.lock_fd_, -1)),
      is_temporary_(std::exchange(other.is_temporary_, false)),
      are_sockets_elsewhere_(std::exchange(other.are_sockets_elsewhere_, false)) {}

embedded_folder& embedded_folder::operator=(embedded_folder&& other) noexcept {
  if (this != &other) {
    close();
    path_ = std::move(other.path_);
    sockets_ = std::move(other.sockets_);
    lock_fd_ = std::exchange(other.lock_fd_, -1);
    is_temporary_ = std::exchange(other.is_temporary_, false);
    are_sockets_elsewhere_ = std::exchange(other.are_sockets_elsewhere_, false);
  }
  return *this;
}

void embedded_folder::close() {
  std::error_code ignored;  // a leftover in /tmp harms nobody
  if (are_sockets_elsewhere_) fs::remove_all(sockets_, ignored);
  if (is_temporary_) fs::remove_all(path_, ignored);
  if (lock_fd_ >= 0) ::close(lock_fd_);
  lock_fd_ = -1;
  is_temporary_ = are_sockets_elsewhere_ = false;
}

embedded_result<void> embedded_folder::lock() {
  const fs::path file = path_ / "lock";
  lock_fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock_fd_ < 0) return cannot("write to", file, errno);
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) == 0) {
    const std::string pid = std::to_string(getpid());
    if (ftruncate(lock_fd_, 0) != 0 || pwrite(lock_fd_, pid.data(), pid.size(), 0) < 0) {
      return cannot("write to", file, errno);
    }
    return {};
  }
  std::array<char, 16> holder{};
  const ssize_t size = pread(lock_fd_, holder.data(), holder.size(), 0);
  return embedded_error{path_.string() + " is in use by another pam-auth dev (process " +
                        std::string{holder.data(), size > 0 ? static_cast<std::size_t>(size) : 0} +
                        "): stop it, or choose another data folder."};
}

embedded_result<void> embedded_folder::prepare(const process_user& user) {
  if (!can_enter(path_, user)) {
    return embedded_error{"The user " + user.name + ", who runs the database, cannot enter " +
                          path_.string() +
                          ": choose a data folder outside of private home folders, for example under "
                          "/var/lib."};
  }
  auto made = make_private(logs(), user);
  if (made.has_value() && fs::exists(data())) made = make_private(data(), user);
  if (made.has_error()) return made;
  return place_sockets(user);
}

embedded_result<void> embedded_folder::place_sockets(const process_user& user) {
  sockets_ = path_ / "sock";
  if (sockets_.string().size() + longest_socket_name.size() <= socket_path_limit) {
    return make_private(sockets_, user);
  }
  auto made = make_temporary(user);
  if (made.has_error()) return made.error();
  sockets_ = std::move(*made);
  are_sockets_elsewhere_ = true;
  return {};
}

int embedded_folder::data_version() const {
  std::ifstream file{data() / "PG_VERSION"};
  std::string text;
  std::getline(file, text);
  return as_number(text);
}

embedded_result<process_user> choose_user() {
  if (geteuid() != 0) {
    const passwd* self = getpwuid(geteuid());
    return process_user{.uid = geteuid(),
                        .gid = getegid(),
                        .name = self == nullptr ? std::to_string(geteuid()) : std::string{self->pw_name},
                        .is_other = false};
  }
  for (const char* name : {"postgres", "nobody"}) {
    const passwd* entry = getpwnam(name);
    if (entry != nullptr && entry->pw_uid != 0) {
      return process_user{.uid = entry->pw_uid, .gid = entry->pw_gid, .name = name, .is_other = true};
    }
  }
  return embedded_error{
      "PostgreSQL does not run as root, and this system has neither a user postgres nor nobody: run as "
      "another "
      "user."};
}

embedded_result<fs::path> find_postgres(const fs::path& override, int wanted) {
  fs::path named = override;
  if (const char* variable = std::getenv("PAM_PG_BIN"); named.empty() && variable != nullptr)
    named = variable;
  if (!named.empty()) {
    if (has_postgres(named)) return found(named);
    return embedded_error{"There is no PostgreSQL in " + named.string() +
                          ": correct PAM_PG_BIN, the folder that holds postgres and initdb."};
  }
  fs::path best;
  int best_version = 0;
  std::error_code ignored;  // no such folder: nothing installed there
  for (const fs::directory_entry& entry : fs::directory_iterator{"/usr/lib/postgresql", ignored}) {
    const int version = as_number(entry.path().filename().string());
    const fs::path bin = entry.path() / "bin";
    if (version <= best_version || (wanted != 0 && version != wanted) || !has_postgres(bin)) continue;
    best = bin;
    best_version = version;
  }
  if (!best.empty()) return found(best);
  if (fs::path bin = from_path("postgres"); !bin.empty() && has_postgres(bin)) {
    // Distributions put the major version into the path; where they do not, PostgreSQL itself compares.
    const fs::path program = fs::canonical(bin / "postgres", ignored);
    const int version = as_number(program.parent_path().parent_path().filename().string());
    if (wanted == 0 || version == 0 || version == wanted) return found(bin);
  }
  if (wanted != 0) {
    return embedded_error{"The data were made by PostgreSQL " + std::to_string(wanted) +
                          ", which is not installed: install it (apt-get install postgresql-" +
                          std::to_string(wanted) + "), or move the data folder away to start afresh."};
  }
  return embedded_error{
      "PostgreSQL is not installed: apt-get install postgresql, or set PAM_PG_BIN to the folder that holds "
      "postgres and initdb."};
}

embedded_result<fs::path> find_pgbouncer(const fs::path& override) {
  fs::path named = override;
  if (const char* variable = std::getenv("PAM_PGBOUNCER"); named.empty() && variable != nullptr)
    named = variable;
  if (named.empty()) {
    const fs::path folder = from_path("pgbouncer");
    named = (folder.empty() ? fs::path{"/usr/sbin"} : folder) / "pgbouncer";
    if (is_program(named)) return found(named);
    return embedded_error{
        "PgBouncer is not installed: apt-get install pgbouncer, or set PAM_PGBOUNCER to its path."};
  }
  if (is_program(named)) return found(named);
  return embedded_error{"There is no PgBouncer at " + named.string() + ": correct PAM_PGBOUNCER."};
}

pid_t running_postmaster(const fs::path& data) {
  std::ifstream file{data / "postmaster.pid"};
  std::string line;
  std::getline(file, line);
  const pid_t pid = as_number(line);
  if (pid <= 0) return 0;
  const fs::path process = fs::path{"/proc"} / std::to_string(pid);
  std::string name;
  std::ifstream{process / "comm"} >> name;
  if (name != "postgres" && name != "postmaster") return 0;
  // A postmaster's working directory is its data folder; when we may not look, we believe the file.
  std::error_code failure;
  const fs::path place = fs::read_symlink(process / "cwd", failure);
  if (failure) return pid;
  const fs::path wanted = fs::canonical(data, failure);
  return failure || place == wanted ? pid : 0;
}

}  // namespace pam::runtime
