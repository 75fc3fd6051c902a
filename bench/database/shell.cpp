#include "bench/database/shell.hpp"

#include <array>
#include <cstdio>
#include <stdexcept>

namespace pam::bench {

namespace {

struct ended {
  std::string output;
  int status = 0;
};

ended run(const std::string& command) {
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  ended what;
  std::array<char, 4096> chunk{};
  while (std::fgets(chunk.data(), chunk.size(), pipe) != nullptr) what.output += chunk.data();
  what.status = ::pclose(pipe);
  return what;
}

}  // namespace

std::string output_of(const std::string& command) {
  return run(command).output;
}

void run_command(const std::string& command) {
  if (run("{ " + command + "; } >&2").status != 0) throw std::runtime_error("failed: " + command);
}

}  // namespace pam::bench
