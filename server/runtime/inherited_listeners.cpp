#include "server/runtime/inherited_listeners.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include <boost/asio/ip/tcp.hpp>

namespace pam::runtime {
namespace {

constexpr int first_descriptor = 3;  // SD_LISTEN_FDS_START
constexpr int most_descriptors = 1024;

std::string_view value_of(const environment& variables, std::string_view name) {
  const auto found = variables.find(name);
  return found == variables.end() ? std::string_view{} : std::string_view{found->second};
}

std::optional<long> number_in(std::string_view text) {
  long number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || rest != end) return std::nullopt;
  return number;
}

/// Takes the next name off a list that colons separate.
std::string_view next_name(std::string_view& names) {
  const std::size_t end = std::min(names.find(':'), names.size());
  const std::string_view name = names.substr(0, end);
  names.remove_prefix(std::min(end + 1, names.size()));
  return name;
}

bool is_same_socket(const net::unique_fd& a, const net::unique_fd& b) {
  struct stat one{};
  struct stat other{};
  return ::fstat(a.get(), &one) == 0 && ::fstat(b.get(), &other) == 0 && one.st_ino == other.st_ino &&
         one.st_dev == other.st_dev;
}

void merge(std::vector<net::unique_fd>& to, std::vector<net::unique_fd> more) {
  for (net::unique_fd& each : more) {
    const bool is_known = std::any_of(
        to.begin(), to.end(), [&](const net::unique_fd& known) { return is_same_socket(known, each); });
    if (!is_known) to.push_back(std::move(each));
  }
}

}  // namespace

boost::system::result<inherited_listeners, start_error> systemd_listeners(const environment& variables) {
  const std::string_view count_text = value_of(variables, "LISTEN_FDS");
  // Meant for another process that left its environment to us: no error (sd_listen_fds(3)).
  if (count_text.empty() || number_in(value_of(variables, "LISTEN_PID")) != long{::getpid()}) {
    return inherited_listeners{};
  }
  const auto count = number_in(count_text);
  if (!count || *count < 0 || *count > most_descriptors) {
    return start_error{"LISTEN_FDS is no count of descriptors: \"" + std::string(count_text) + "\""};
  }
  inherited_listeners made;
  std::string_view names = value_of(variables, "LISTEN_FDNAMES");
  for (int fd = first_descriptor; fd < first_descriptor + *count; ++fd) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return start_error{"LISTEN_FDS promises " + std::to_string(*count) + " descriptors, but " +
                         std::to_string(fd) + " is not open"};
    }
    (next_name(names) == "internal" ? made.internal : made.open).emplace_back(fd);
  }
  return made;
}

void merge_listeners(inherited_listeners& to, inherited_listeners more) {
  merge(to.open, std::move(more.open));
  merge(to.internal, std::move(more.internal));
}

std::size_t keep_listeners_at(std::vector<net::unique_fd>& listeners, const std::string& address,
                              std::uint16_t port) {
  boost::system::error_code failure;
  const auto wanted = boost::asio::ip::make_address(address, failure);
  return std::erase_if(listeners, [&](const net::unique_fd& each) {
    boost::asio::ip::tcp::endpoint bound;
    auto size = static_cast<socklen_t>(bound.capacity());
    if (failure || ::getsockname(each.get(), bound.data(), &size) != 0) return true;
    return bound.address() != wanted || (port != 0 && bound.port() != port);
  });
}

}  // namespace pam::runtime
