#include "bench/database/process_cost.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <sys/resource.h>
#include <unistd.h>

namespace pam::bench {

namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double cpu_of(int who) {
  rusage used{};
  if (::getrusage(who, &used) != 0) throw std::runtime_error("getrusage failed");
  return seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
}

struct process {
  long parent = 0;
  double cpu = 0;
  double ended_children_cpu = 0;
};

// /proc/PID/stat: the name stands in parentheses and may hold anything; state, parent and eleven fields
// later the ticks in user and kernel mode follow it (proc(5)). Empty when the process is gone.
process read_process(const std::filesystem::path& folder) {
  std::ifstream file{folder / "stat"};
  std::string text{std::istreambuf_iterator<char>{file}, {}};
  const auto name_end = text.rfind(')');
  process read;
  if (name_end == std::string::npos) return read;
  std::istringstream fields{text.substr(name_end + 1)};
  std::string skipped;
  fields >> skipped >> read.parent;
  for (int i = 0; i < 9; ++i) fields >> skipped;
  double user = 0;
  double kernel = 0;
  double children_user = 0;
  double children_kernel = 0;
  fields >> user >> kernel >> children_user >> children_kernel;
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  read.cpu = (user + kernel) / ticks;
  read.ended_children_cpu = (children_user + children_kernel) / ticks;
  return read;
}

bool is_number(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

}  // namespace

double own_cpu_seconds() {
  return cpu_of(RUSAGE_SELF);
}

double children_cpu_seconds() {
  return cpu_of(RUSAGE_CHILDREN);
}

double postgres_cpu_seconds(const std::string& data_dir) {
  std::ifstream file{data_dir + "/postmaster.pid"};
  long postmaster = 0;
  if (!(file >> postmaster)) throw std::runtime_error("cannot read the postmaster's pid in " + data_dir);
  // A backend that ends between two readings must not take its time along.
  const process parent = read_process("/proc/" + std::to_string(postmaster));
  double total = parent.cpu + parent.ended_children_cpu;
  for (const auto& folder : std::filesystem::directory_iterator{"/proc"}) {
    if (!is_number(folder.path().filename().string())) continue;
    const process one = read_process(folder.path());
    if (one.parent == postmaster) total += one.cpu;
  }
  return total;
}

}  // namespace pam::bench
