#include "server/cli/private_file.hpp"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pam::cli {
namespace {

using outcome = boost::system::result<void, file_error>;

file_error system_error(const std::string& action, const std::string& path) {
  return {"cannot " + action + " " + path + ": " + std::generic_category().message(errno)};
}

class descriptor {
 public:
  explicit descriptor(int number) : number_(number) {}
  ~descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  [[nodiscard]] int get() const { return number_; }
  [[nodiscard]] bool is_open() const { return number_ >= 0; }

 private:
  int number_;
};

/// Removes a temporary file unless it took its place.
class removal {
 public:
  explicit removal(std::string path) : path_(std::move(path)) {}
  ~removal() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  removal(const removal&) = delete;
  removal& operator=(const removal&) = delete;
  void cancel() { path_.clear(); }

 private:
  std::string path_;
};

bool write_all(int file, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(file, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool sync_folder(const std::string& folder) {
  const descriptor handle{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  return handle.is_open() && ::fsync(handle.get()) == 0;
}

}  // namespace

outcome write_private_file(const std::string& path, std::string_view content, if_exists policy) {
  const std::string parent = std::filesystem::path{path}.parent_path().string();
  const std::string folder = parent.empty() ? "." : parent;
  std::string temporary = folder + "/.pam-XXXXXX";

  // mkostemp creates with mode 0600 whatever the umask; fchmod removes any doubt about default ACLs.
  const descriptor file{::mkostemp(temporary.data(), O_CLOEXEC)};
  if (!file.is_open()) return system_error("write a file in", folder);
  removal cleanup{temporary};
  if (::fchmod(file.get(), S_IRUSR | S_IWUSR) != 0 || !write_all(file.get(), content) ||
      ::fsync(file.get()) != 0) {
    return system_error("write", path);
  }
  if (policy == if_exists::replace) {
    if (::rename(temporary.c_str(), path.c_str()) != 0) return system_error("replace", path);
    cleanup.cancel();
  } else if (::link(temporary.c_str(), path.c_str()) != 0) {
    return system_error("create", path);
  }
  if (!sync_folder(folder)) return system_error("flush the folder of", path);
  return {};
}

void throw_exception_from_error(const file_error& failure, const boost::source_location&) {
  throw std::runtime_error(failure.message);
}

}  // namespace pam::cli
