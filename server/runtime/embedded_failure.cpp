#include "server/runtime/embedded_failure.hpp"

#include <array>
#include <stdexcept>

namespace pam::runtime {

namespace {

struct known_failure {
  std::string_view sign;  ///< part of PostgreSQL's message
  std::string_view sentence;
};

// PostgreSQL's messages (src/backend/postmaster, utils/init/miscinit.c, access/transam/xlog*.c), most telling
// first. "%" is the folder.
constexpr std::array<known_failure, 15> known_failures{{
    {"No space left on device", "The disk that holds % is full: free some space and start again."},
    {"Disk quota exceeded", "The disk quota of % is used up: free some space and start again."},
    {"Read-only file system", "% is on a read-only file system: choose another data folder."},
    {"database files are incompatible with server",
     "% was made by another major version of PostgreSQL: install that version, or move the folder away to "
     "start "
     "afresh."},
    {"another server might be running",
     "% is in use by another PostgreSQL: stop it, or choose another data folder."},
    {"lock file \"postmaster.pid\" already exists",
     "% is in use by another PostgreSQL: stop it, or choose another data folder."},
    {"pre-existing shared memory block",
     "% is still in use by processes of a PostgreSQL that ended: stop them and start again."},
    {"has wrong ownership", "% belongs to another user: run as that user, or choose another data folder."},
    {"has invalid permissions", "% may be read by others: give it the mode 0700 (chmod 0700)."},
    {"could not create shared memory segment",
     "The system has no shared memory left for PostgreSQL: free some memory and start again."},
    {"Cannot allocate memory", "The system has no memory left for PostgreSQL: free some and start again."},
    {"checkpoint record",
     "The database in % is damaged: restore it from a backup, or move the folder away to start afresh."},
    {"incorrect checksum in control file",
     "The database in % is damaged: restore it from a backup, or move the folder away to start afresh."},
    {"pg_control",
     "The database in % is damaged: restore it from a backup, or move the folder away to start afresh."},
    {"is not a valid data directory",
     "% is no complete PostgreSQL data folder: move it away to start afresh, or choose another."},
}};

std::string with_folder(std::string_view sentence, std::string_view folder) {
  std::string text{sentence};
  if (const std::size_t at = text.find('%'); at != std::string::npos) text.replace(at, 1, folder);
  return text;
}

/// The last line that a server would not survive, without its prefix; empty when there is none.
std::string_view last_fatal_line(std::string_view log) {
  std::string_view last;
  while (!log.empty()) {
    const std::size_t end = log.find('\n');
    const std::string_view line = log.substr(0, end);
    log.remove_prefix(end == std::string_view::npos ? log.size() : end + 1);
    for (const std::string_view severity : {"FATAL:  ", "PANIC:  ", "initdb: error: ", "postgres: "}) {
      const std::size_t at = line.find(severity);
      if (at == std::string_view::npos) continue;
      const std::string_view reason = line.substr(at + severity.size());
      // Our own knocking while the server starts is answered so.
      if (!reason.starts_with("the database system is ")) last = reason;
    }
  }
  return last;
}

}  // namespace

void throw_exception_from_error(const embedded_error& failure, const boost::source_location& where) {
  throw std::logic_error(std::string{"unchecked start-up error at "} + where.file_name() + ":" +
                         std::to_string(where.line()) + ": " + failure.sentence);
}

std::string explain_failure(std::string_view log, std::string_view folder) {
  for (const known_failure& known : known_failures) {
    if (log.find(known.sign) != std::string_view::npos) return with_folder(known.sentence, folder);
  }
  const std::string_view fatal = last_fatal_line(log);
  if (!fatal.empty()) {
    return "PostgreSQL did not start with " + std::string{folder} + ": " + std::string{fatal} + ".";
  }
  return "PostgreSQL ended without a word while it started with " + std::string{folder} +
         ": look into the system's log (out of memory?).";
}

}  // namespace pam::runtime
