// Properties: a text is a configuration or a list of findings, each with its key or line and a sentence of
// printable text; what is accepted departs from its profile the same way when it is written down again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/runtime/config.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using namespace pam::runtime;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // The one key whose file is read: not by an experiment.
  if (text.find("password_file") != std::string_view::npos || text.find('\\') != std::string_view::npos)
    return 0;
  const auto outcome = parse_config(text, "pam.toml", {});
  if (outcome.has_error()) {
    require(!outcome.error().empty());
    for (const config_error& each : outcome.error()) {
      require(!each.message.empty() && !each.origin.empty());
      const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
      require(std::ranges::none_of(each.message, is_control));
    }
    return 0;
  }
  require(difference(*outcome, *outcome).needs_restart.empty());
  std::string again = "[server]\nprofile = \"" + outcome->server.profile + "\"\n";
  std::string section = "server";
  for (const std::string& line : departures_from_profile(*outcome)) {
    const std::string of = line.substr(0, line.find('.'));
    if (of != section) again += "[" + (section = of) + "]\n";
    again += line.substr(of.size() + 1) + "\n";
  }
  // A secret is not written down.
  if (!outcome->database.password.empty() || !outcome->migrate.password.empty()) return 0;
  const auto reread = parse_config(again, "pam.toml", {});
  require(reread.has_value());
  require(departures_from_profile(*reread) == departures_from_profile(*outcome));
  return 0;
}
