#include "server/crypto/detail/key_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace pam::crypto::detail {

namespace {

constexpr off_t max_file_bytes = 256 * 1024;

class descriptor {
 public:
  explicit descriptor(int number) : number_(number) {}
  ~descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_;
};

error refuse(const std::string& file, const std::string& why) {
  return {errc::bad_key, file + ": " + why};
}

std::string reason_of(int number) {
  return std::generic_category().message(number);
}

std::string octal(mode_t mode) {
  std::array<char, 8> text = {};
  std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode & 07777));
  return text.data();
}

}  // namespace

result<secret> read_key_file(const std::string& file) {
  // Non-blocking, so that a FIFO in the file's place is refused instead of waited for.
  const descriptor opened{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (opened.get() < 0) return refuse(file, "cannot be opened: " + reason_of(errno));
  struct stat status = {};
  if (::fstat(opened.get(), &status) != 0) return refuse(file, "cannot be examined: " + reason_of(errno));
  if (!S_ISREG(status.st_mode)) return refuse(file, "is not a regular file");
  if ((status.st_mode & (S_IRWXG | S_IRWXO | S_IXUSR)) != 0) {
    return refuse(file, "has mode " + octal(status.st_mode) +
                            ", but nobody except its owner may use a key file; run: chmod 600 " + file);
  }
  if (status.st_size > max_file_bytes) return refuse(file, "is larger than 256 KB; is it a key file?");
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t length = 0;
  while (length < text.size()) {
    const ssize_t got = ::read(opened.get(), text.data() + length, text.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    length += static_cast<std::size_t>(got);
  }
  secret content{std::string_view{text}.substr(0, length)};
  wipe(text.data(), text.size());
  if (length != static_cast<std::size_t>(status.st_size)) return refuse(file, "could not be read to its end");
  return content;
}

error in_file(const std::string& file, const error& failure) {
  return {failure.code, file + ": " + failure.detail};
}

}  // namespace pam::crypto::detail
