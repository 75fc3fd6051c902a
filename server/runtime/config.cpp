#include "server/runtime/config.hpp"

#include <fstream>
#include <stdexcept>

#include <unistd.h>

#include "server/runtime/config_reader.hpp"
#include "server/runtime/config_values.hpp"
#include "server/runtime/start_error.hpp"

namespace pam::runtime {
namespace {

constexpr std::size_t file_limit = 1'024 * 1'024;

config_errors one_error(const std::string& file, std::string message) {
  config_errors out;
  out.push_back({"", file, std::move(message)});
  return out;
}

}  // namespace

boost::system::result<configuration, config_errors> parse_config(std::string_view toml,
                                                                 std::string_view file_name,
                                                                 const environment& variables) {
  config_reader reader{file_name, variables};
  reader.read_toml(toml);
  reader.read_environment();
  reader.apply();
  if (reader.has_findings()) return reader.take_findings();
  return reader.take_settings();
}

boost::system::result<std::string, config_errors> read_config_file(const std::string& file) {
  std::ifstream in{file, std::ios::binary};
  if (!in) return one_error(file, "cannot be opened; `pam-auth config default` prints one to start from");
  std::string text(file_limit + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || (in.fail() && !in.eof())) return one_error(file, "cannot be read");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > file_limit) return one_error(file, "is larger than " + format_size(file_limit));
  return text;
}

boost::system::result<configuration, config_errors> load_config(const std::string& file,
                                                                const environment& variables) {
  auto text = read_config_file(file);
  if (text.has_error()) return text.error();
  return parse_config(*text, file, variables);
}

environment process_environment() {
  environment out;
  for (char** each = environ; each != nullptr && *each != nullptr; ++each) {
    const std::string_view text{*each};
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = text.substr(0, equals);
    if (name.starts_with("PAM_") || name.starts_with("LISTEN_") || name.starts_with("WATCHDOG_") ||
        name == "CREDENTIALS_DIRECTORY" || name == "NOTIFY_SOCKET") {
      out.emplace(name, text.substr(equals + 1));
    }
  }
  return out;
}

std::string to_string(const config_errors& findings) {
  std::string out;
  for (const config_error& one : findings) {
    out += one.origin;
    if (!one.key.empty()) out += ": " + one.key;
    out += ": " + one.message + "\n";
  }
  return out;
}

void throw_exception_from_error(const start_error& failure, const boost::source_location&) {
  throw std::runtime_error(failure.message);
}

void throw_exception_from_error(const config_errors& failure, const boost::source_location&) {
  throw std::runtime_error("invalid configuration\n" + to_string(failure));
}

}  // namespace pam::runtime
