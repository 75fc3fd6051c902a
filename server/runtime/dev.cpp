#include "server/runtime/dev.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <ostream>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

#include "server/cli/keys_command.hpp"
#include "server/crypto/random.hpp"
#include "server/runtime/demonstration.hpp"
#include "server/runtime/descriptor_limit.hpp"
#include "server/runtime/dev_certificate.hpp"
#include "server/runtime/embedded_postgres.hpp"
#include "server/runtime/log.hpp"
#include "server/runtime/serve.hpp"
#include "server/runtime/server.hpp"

namespace pam::runtime {
namespace {

namespace fs = std::filesystem;

/// The internal port beside the default public one; any other public port gets a free internal one.
constexpr std::uint16_t default_port = 8443;
constexpr std::uint16_t default_internal_port = 9443;

/// A temporary folder that goes away with the object.
class temporary_folder {
 public:
  temporary_folder() {
    std::string pattern = (fs::temp_directory_path() / "pam-auth-dev-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw std::system_error(errno, std::generic_category(), "cannot make a temporary folder");
    }
    path_ = pattern;
    ::chmod(path_.c_str(), 0711);  // PostgreSQL, which never runs as root, passes through
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  ~temporary_folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// The port to serve on: `wanted`, or a free one for 0. The shards share a port by SO_REUSEPORT, which
/// would also share it with a server that already runs; binding without it tells.
boost::system::result<std::uint16_t, start_error> claim_port(std::uint16_t wanted) {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return start_error{"cannot open a socket: " + std::generic_category().message(errno)};
  const int yes = 1;
  ::setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(wanted);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);  // the sockets API's own idiom
  const bool is_free = ::bind(probe, generic, size) == 0 && ::listen(probe, 1) == 0 &&
                       ::getsockname(probe, generic, &size) == 0;
  const int failure = errno;
  ::close(probe);
  if (is_free) return ntohs(address.sin_port);
  const std::string port = std::to_string(wanted);
  if (failure == EADDRINUSE) {
    return start_error{"port " + port +
                       " is already in use: stop what listens there or choose another with --port"};
  }
  return start_error{"cannot listen on port " + port + ": " + std::generic_category().message(failure)};
}

/// Everything the embedded server needs from its folder.
struct dev_files {
  fs::path root;
  dev_certificate certificate;
  fs::path keys;
  fs::path mail;
};

boost::system::result<dev_files, start_error> prepare_files(const fs::path& root) {
  dev_files files;
  files.root = root;
  files.mail = root / "mail";
  files.keys = root / "keys.json";
  std::error_code failure;
  fs::create_directories(files.mail, failure);
  if (failure) {
    return start_error{"cannot write to the data folder " + root.string() + " (" + failure.message() +
                       "): give it to this user, or choose another with --data"};
  }
  auto certificate = ensure_dev_certificate(root, std::chrono::system_clock::now());
  if (certificate.has_error()) return start_error{certificate.error().sentence};
  files.certificate = std::move(*certificate);
  if (!fs::exists(files.keys)) {
    std::ostringstream quiet;
    std::ostringstream reason;
    if (cli::run_keys_generate(files.keys.string(), crypto::algorithm::es256, false, quiet, reason) != 0) {
      return start_error{reason.str()};
    }
  }
  return files;
}

/// What `dev` sets beneath the environment: one core's worth of a server that nobody else uses.
std::string dev_toml(const dev_files& files, std::uint16_t port) {
  std::ostringstream toml;
  toml << "[server]\nprofile = \"compatible\"\nsite_url = \"https://localhost:" << port << "\"\n"
       << "drain_delay = \"0s\"\ndrain_timeout = \"10s\"\n"
       << "[listen]\naddress = \"127.0.0.1\"\nport = " << port << "\n"
       << "[tls]\ncertificate_file = '" << files.certificate.certificate.string() << "'\n"
       << "private_key_file = '" << files.certificate.private_key.string() << "'\n"
       << "[keys]\nfile = '" << files.keys.string() << "'\n"
       << "[accounts]\nauto_confirm = true\n"
       << "[mail]\nfolder = '" << files.mail.string() << "'\n";
  return toml.str();
}

boost::system::result<configuration, start_error> make_settings(const dev_files& files, std::uint16_t port,
                                                                const environment& variables) {
  auto settings = parse_config(dev_toml(files, port), "pam-auth dev", variables);
  if (settings.has_error()) return start_error{to_string(settings.error())};
  if (variables.find("PAM_INTERNAL__PORT") == variables.end()) {
    settings->internal.port = port == default_port ? default_internal_port : std::uint16_t{0};
  }
  return std::move(*settings);
}

/// Says where everything is; appears at once and complete.
boost::system::result<void, start_error> write_ready_file(const std::string& file, const server& running,
                                                          const embedded_postgres& postgres,
                                                          const dev_files& files) {
  const std::string draft = file + ".new";
  {
    std::ofstream out{draft};
    out << R"({"port":)" << running.port() << R"(,"internal_port":)" << running.internal_port()
        << R"(,"pids":{"server":)" << ::getpid() << R"(,"postgres":)" << postgres.pid() << R"(,"pgbouncer":)"
        << postgres.pgbouncer_pid() << R"(},"certificate":")" << files.certificate.certificate.string()
        << R"(","socket_dir":")" << postgres.socket_dir().string() << R"(","pg_port":)" << postgres.pg_port()
        << R"(,"pgbouncer_port":)" << postgres.pgbouncer_port() << R"(,"database":")" << postgres.database()
        << R"(","mail":")" << files.mail.string() << "\"}\n";
    if (!out.flush()) return start_error{"cannot write " + draft};
  }
  std::error_code failure;
  fs::rename(draft, file, failure);
  if (failure) return start_error{"cannot write " + file + ": " + failure.message()};
  return {};
}

void print_addresses(const server& running, const std::string& prefix, const dev_files& files,
                     std::ostream& out) {
  const std::string base = "https://localhost:" + std::to_string(running.port());
  const std::string curl = "curl --cacert " + files.certificate.certificate.string() + " ";
  const std::string json = " -H 'Content-Type: application/json' -d ";
  // A name of its own for each start: the lines work again when the data were kept.
  const std::string credentials = "'{\"email\":\"ada" + std::to_string(crypto::random_below(1'000'000)) +
                                  "@example.com\",\"password\":\"correct horse battery staple\"}'";
  out << "\nPAM Auth is ready. Ctrl-C stops everything.\n"
      << "  API       " << base << prefix << "\n"
      << "  keys      " << base << "/.well-known/jwks.json\n"
      << "  internal  http://127.0.0.1:" << running.internal_port() << "/metrics, /readyz, /livez\n"
      << "  data      " << files.root.string() << "\n\n"
      << curl << base << "/health\n"
      << curl << "-X POST '" << base << prefix << "/signup'" << json << credentials << "\n"
      << curl << "-X POST '" << base << prefix << "/token?grant_type=password'" << json << credentials << "\n"
      << std::endl;
}

int fail(std::ostream& err, const std::string& sentence) {
  err << "pam-auth: " << sentence;
  if (!sentence.ends_with('\n')) err << '\n';
  return 1;
}

}  // namespace

int run_dev(const dev_options& options, const environment& variables, std::ostream& out, std::ostream& err) {
  const auto port = claim_port(options.port);
  if (port.has_error()) return fail(err, port.error().message);

  std::optional<temporary_folder> temporary;
  if (options.is_ephemeral) temporary.emplace();
  auto files = prepare_files(temporary ? temporary->path() : fs::absolute(options.data));
  if (files.has_error()) return fail(err, files.error().message);
  auto settings = make_settings(*files, *port, variables);
  if (settings.has_error()) return fail(err, settings.error().message);

  log_settings log_how;
  log_how.level = log_level::warn;  // until the demonstration is over: its lines are for people
  log_how.file = settings->log.file;
  auto log = logger::open(std::move(log_how));
  if (log.has_error()) return fail(err, log.error().message);
  const log_level wanted_level = parse_log_level(settings->log.level).value_or(log_level::info);

  embedded_options database;
  database.folder = files->root / "postgres";
  database.is_ephemeral = options.is_ephemeral;
  if (options.is_ephemeral) database.folder.clear();
  auto postgres =
      embedded_postgres::start(database, [&out](std::string_view line) { out << line << std::endl; });
  if (postgres.has_error()) return fail(err, postgres.error().sentence);
  postgres->apply_to(*settings);

  // Said to nobody: nobody chose the default that does not fit.
  const auto fitted = fit_to_descriptors(*settings, raise_descriptor_limit());
  if (fitted.has_error()) return fail(err, fitted.error().message);
  const std::string prefix = settings->server.prefix;
  auto made = server::create(std::move(*settings), *log);
  if (made.has_error()) return fail(err, made.error().message);
  server& running = **made;

  std::jthread demonstration;
  std::atomic<bool> has_failed{false};
  running.start([&] {
    // The round talks to this process: it must not run on the thread that answers for it.
    demonstration = std::jthread{[&] {
      out << "One round, as a client would:\n";
      has_failed = !demonstrate(running.port(), prefix, files->certificate.certificate.string(), out);
      log->set_level(wanted_level);
      if (!has_failed && !options.ready_file.empty()) {
        auto written = write_ready_file(options.ready_file, running, *postgres, *files);
        has_failed = written.has_error();
        if (has_failed) fail(err, written.error().message);
      }
      if (has_failed) {
        running.stop();
        return;
      }
      print_addresses(running, prefix, *files, out);
    }};
  });
  if (!running.run()) has_failed = true;
  if (demonstration.joinable()) demonstration.join();
  out << "stopping PostgreSQL" << std::endl;
  postgres->stop();
  return has_failed ? 1 : 0;
}

}  // namespace pam::runtime
