#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "server/cli/check/facts.hpp"

namespace pam::cli::testing {

/// `name = value` lines of a file of this repository (an .ini or postgresql.conf), without quotes and
/// comments. The repository is looked for upwards from the test's own program.
inline check::setting_map settings_of(const std::string& path) {
  auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  while (!std::filesystem::exists(folder / path) && folder != folder.root_path())
    folder = folder.parent_path();
  std::ifstream file{folder / path};
  if (!file) throw std::runtime_error(path + " is not there");
  const auto trimmed = [](std::string text) {
    const auto first = text.find_first_not_of(" '");
    if (first == std::string::npos) return std::string{};
    return text.substr(first, text.find_last_not_of(" '") - first + 1);
  };
  check::setting_map found;
  for (std::string line; std::getline(file, line);) {
    const auto equals = line.find('=');
    if (line.empty() || line[0] == '#' || line[0] == ';' || line[0] == '[' || equals == std::string::npos)
      continue;
    found[trimmed(line.substr(0, equals))] = trimmed(line.substr(equals + 1, line.find(" #") - equals - 1));
  }
  return found;
}

}  // namespace pam::cli::testing
