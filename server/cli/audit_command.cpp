#include "server/cli/audit_command.hpp"

#include <cerrno>
#include <iostream>
#include <memory>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "server/cli/command.hpp"
#include "server/cli/end_signals.hpp"
#include "server/cli/migrate.hpp"
#include "server/cli/personal_data.hpp"

namespace pam::cli {
namespace {

/// The file of an export. A page that does not fit is taken back: the file ends where the key says.
class export_file {
 public:
  ~export_file() {
    if (file_ >= 0) ::close(file_);
  }
  export_file() = default;
  export_file(const export_file&) = delete;
  export_file& operator=(const export_file&) = delete;

  /// @return why it could not be opened; empty when it could
  std::string open(const std::string& path, bool is_continued) {
    path_ = path;
    const int how = is_continued ? O_APPEND : O_CREAT | O_EXCL;
    file_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | how, S_IRUSR | S_IWUSR);
    if (file_ >= 0) return {};
    if (errno == EEXIST)
      return path + " exists and is not replaced: name another, or go on in it with --after.";
    if (errno == ENOENT && is_continued)
      return path + " does not exist: --after goes on in the file of the export before.";
    return reason("opened");
  }
  std::string append(std::string_view text) {
    const off_t end = ::lseek(file_, 0, SEEK_END);
    while (!text.empty()) {
      const ssize_t written = ::write(file_, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        std::string why = reason("written");
        if (::ftruncate(file_, end) != 0) why += " Its last line may be incomplete.";
        return why;
      }
      text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
  }
  std::string flush() { return ::fsync(file_) == 0 ? std::string{} : reason("flushed"); }

 private:
  [[nodiscard]] std::string reason(const std::string& action) const {
    return path_ + " could not be " + action + ": " + std::generic_category().message(errno) + ".";
  }

  std::string path_;
  int file_ = -1;
};

/// Progress for people: a bar on a terminal, else a line every ten seconds with the key to go on at.
class export_printer {
 public:
  explicit export_printer(std::ostream& err)
      : err_(err), is_terminal_(&err == &std::cerr && ::isatty(STDERR_FILENO) != 0) {}

  void print(const row_progress& rows, const export_position& at) {
    if (is_terminal_) {
      err_ << terminal_line(rows) << std::flush;
      has_bar_ = true;
    } else if (const auto now = std::chrono::steady_clock::now(); now >= next_line_) {
      err_ << plain_line(rows) << ", at " << to_string(at) << std::endl;
      next_line_ = now + std::chrono::seconds{10};
    }
  }
  void end() {
    if (has_bar_) err_ << '\n';
    has_bar_ = false;
  }

 private:
  std::ostream& err_;
  bool is_terminal_;
  bool has_bar_ = false;
  std::chrono::steady_clock::time_point next_line_ =
      std::chrono::steady_clock::now() + std::chrono::seconds{10};
};

db::admin_settings endpoint_of(const runtime::configuration& settings, const audit_export_place& place) {
  db::admin_settings endpoint = migration_endpoint(settings);
  endpoint.application_name = "pam-auth audit";
  if (!place.host.empty()) endpoint.host = place.host;
  if (place.port != 0) endpoint.port = place.port;
  if (!place.role.empty()) endpoint.user = place.role;
  return endpoint;
}

int refuse(std::ostream& err, const std::string& sentence) {
  err << sentence << '\n';
  return failure;
}

/// What was given on the command line, before it is understood.
struct arguments {
  std::string config;
  audit_export_place place;
  std::string from;
  std::string to;
  std::string after;
  std::string kind;
  std::string account;
  std::string success;
  std::string format = "jsonl";
};

/// Sets `into` from `text` unless that is empty. @return false when it makes no sense
template <class Target, class Read>
bool take(const std::string& text, Target& into, Read read) {
  if (text.empty()) return true;
  auto got = read(std::string_view{text});
  if (got) into = *got;
  return got.has_value();
}

/// @return what is wrong with the command line; empty when nothing is
std::string understand(const arguments& given, export_request& wanted) {
  // What is being committed now may carry a time of some moments ago: an export that goes on where this one
  // ended must not have missed it.
  wanted.to = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()) -
              std::chrono::minutes{1};
  wanted.from = wanted.to - std::chrono::days{31};
  constexpr const char* moments = " must be a day such as 2026-11-26 or a time such as 2026-11-26T13:00:00Z";
  if (!take(given.from, wanted.from, parse_moment)) return std::string{"--from"} + moments;
  if (!take(given.to, wanted.to, parse_moment)) return std::string{"--to"} + moments;
  if (!take(given.after, wanted.after, parse_export_position))
    return "--after must be a key that an export ended with";
  if (wanted.after && given.from.empty()) wanted.from = wanted.after->occurred_at;
  if (wanted.from >= wanted.to && !wanted.after) return "--from must lie before --to";
  if (!take(given.account, wanted.account, protocol::parse_uuid)) return "--account must be a UUID";
  if (wanted.account && !given.place.holder.empty()) return "give --account or --holder, not both";
  if (!given.kind.empty()) wanted.kind = given.kind;
  if (!given.success.empty()) wanted.success = given.success == "true";
  wanted.format = given.format == "csv" ? export_format::csv : export_format::jsonl;
  return {};
}

}  // namespace

int run_audit_export(const runtime::configuration& settings, const audit_export_place& place,
                     export_request wanted, std::ostream& out, std::ostream& err) {
  const db::admin_settings endpoint = endpoint_of(settings, place);
  auto connection = db::admin_connection::connect(endpoint);
  if (connection.has_error())
    return refuse(err, "PostgreSQL at " + endpoint.host + " port " + std::to_string(endpoint.port) +
                           " did not let us in as " + endpoint.user + ": " + connection.error().detail);
  if (!place.holder.empty()) {
    const auto found = find_person(*connection, {.id = {}, .claim = place.holder});
    if (found.has_error()) return refuse(err, found.error().sentence);
    wanted.account = protocol::parse_uuid(*found);
  }
  export_file file;
  if (!place.output.empty()) {
    if (const std::string why = file.open(place.output, wanted.after.has_value()); !why.empty())
      return refuse(err, why);
  }
  const export_sink sink = [&](std::string_view text) -> std::string {
    if (!place.output.empty()) return file.append(text);
    out << text << std::flush;
    return out.good() ? std::string{} : "The events could not be written to the standard output.";
  };
  bool is_asked_to_end = false;
  export_printer printer{err};
  const export_listener listener = [&](const row_progress& rows, const export_position& at) {
    printer.print(rows, at);
    is_asked_to_end = end_signal_came({});
    return !is_asked_to_end;
  };
  export_report report;
  const auto done = export_audit(
      *connection, [&] { return db::admin_connection::connect(endpoint); }, wanted, sink, listener, report);
  printer.end();
  std::string why = done.has_error() ? done.error().sentence : std::string{};
  if (is_asked_to_end) why = "Ended by a signal.";
  if (!place.output.empty()) {
    if (const std::string unsafe = file.flush(); why.empty()) why = unsafe;
  }
  if (!why.empty()) err << why << '\n';
  err << "exported " << report.events << " events";
  if (const auto last = report.last ? report.last : wanted.after)
    err << "; to go on: --after " << to_string(*last);
  err << std::endl;
  return why.empty() ? success : failure;
}

void add_audit_command(CLI::App& app, command_context& context) {
  auto* audit = app.add_subcommand("audit", "The audit log: who did what, when, from where");
  audit->require_subcommand(1);
  auto* command = audit->add_subcommand("export", "Write events, oldest first, as JSON lines or CSV");
  const auto given = std::make_shared<arguments>();
  command->add_option("--config", given->config, "TOML file")->required()->envname("PAM_CONFIG");
  command->add_option("--from", given->from, "Not older than this day or time; default: 31 days before --to");
  command->add_option("--to", given->to, "Older than this day or time; default: a minute ago");
  command->add_option("--kind", given->kind, "Events of this kind, such as sign_in_failed");
  command->add_option("--success", given->success, "true or false: what worked, what did not")
      ->check(CLI::IsMember({"true", "false"}));
  auto* account = command->add_option("--account", given->account, "Events of this account");
  command->add_option("--holder", given->place.holder, "The same, by an address or number the account holds")
      ->excludes(account);
  command->add_option("--format", given->format, "jsonl or csv")
      ->check(CLI::IsMember({"jsonl", "csv"}))
      ->capture_default_str();
  command->add_option("--output", given->place.output, "A new file, of mode 0600; default: standard output");
  command->add_option("--after", given->after,
                      "Go on after this event: the key that an earlier export ended with");
  command->add_option("--host", given->place.host, "A standby instead of migrate.host");
  command->add_option("--port", given->place.port, "Its port instead of migrate.port");
  command->add_option("--role", given->place.role, "Sign in as this role; pam_report may read enough");
  command->callback([&context, given] {
    export_request wanted;
    if (const std::string wrong = understand(*given, wanted); !wrong.empty()) {
      context.err << wrong << '\n';
      context.status = usage;
      return;
    }
    const auto settings = runtime::load_config(given->config, context.variables);
    if (!settings) {
      context.err << runtime::to_string(settings.error());
      context.status = failure;
      return;
    }
    hold_end_signals();
    context.status = run_audit_export(*settings, given->place, wanted, context.out, context.err);
  });
}

}  // namespace pam::cli
