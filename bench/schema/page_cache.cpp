#include "bench/schema/page_cache.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

namespace pam::bench {

namespace {

constexpr long cachestat_call = 451;  // the same on every architecture; younger than the headers of Debian 12
constexpr std::uint64_t page = 4096;
constexpr off_t chunk = 8 * 1024 * 1024;

struct cache_range {
  std::uint64_t begin = 0;
  std::uint64_t length = 0;  // 0: to the end
};
struct cache_counts {
  std::uint64_t cached = 0;
  std::uint64_t dirty = 0;
  std::uint64_t written_back = 0;
  std::uint64_t evicted = 0;
  std::uint64_t recently_evicted = 0;
};

class open_file {
 public:
  explicit open_file(const std::filesystem::path& path) : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~open_file() {
    if (file_ >= 0) ::close(file_);
  }
  open_file(const open_file&) = delete;
  open_file& operator=(const open_file&) = delete;
  [[nodiscard]] bool is_open() const { return file_ >= 0; }

  /// Bytes of [begin, begin + length) that are in memory; none, with `failure` set, when the kernel does not
  /// say.
  [[nodiscard]] std::uint64_t cached(off_t begin, off_t length, std::atomic<int>& failure) const {
    const cache_range range{static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(length)};
    cache_counts counts;
    if (::syscall(cachestat_call, file_, &range, &counts, 0) == 0) return counts.cached * page;
    failure = errno;
    return 0;
  }
  /// Writes what is dirty, as a kernel short of memory would, and drops it all.
  void drop(off_t begin, off_t length, std::atomic<int>& failure) const {
    if (::sync_file_range(file_, begin, length,
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) !=
        0)
      failure = errno;
    if (const int code = ::posix_fadvise(file_, begin, length, POSIX_FADV_DONTNEED); code != 0)
      failure = code;
  }
  [[nodiscard]] off_t size() const { return ::lseek(file_, 0, SEEK_END); }

 private:
  int file_;
};

/// Sorted. Files come and go while a server works: what vanishes meanwhile is passed over.
std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code gone;
  for (std::filesystem::recursive_directory_iterator each{folder, gone}, end; each != end;
       each.increment(gone)) {
    if (gone) break;
    if (each->is_regular_file(gone)) files.push_back(each->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

double megabytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) / (1024.0 * 1024);
}

}  // namespace

page_cache_bound::page_cache_bound(std::filesystem::path folder, std::uint64_t bytes)
    : folder_(std::move(folder)), bytes_(bytes) {
  keep();
  keeper_ = std::thread{[this] {
    while (!is_over_) {
      const auto start = std::chrono::steady_clock::now();
      keep();
      // A twentieth of a core at most.
      const auto pause = 20 * (std::chrono::steady_clock::now() - start);
      std::this_thread::sleep_for(std::max<std::chrono::nanoseconds>(pause, std::chrono::milliseconds{50}));
    }
  }};
}

page_cache_bound::~page_cache_bound() {
  is_over_ = true;
  keeper_.join();
}

void page_cache_bound::begin() {
  // The second to come began after now, and after the first had evicted.
  const int now = rounds_;
  while (rounds_ < now + 2) std::this_thread::sleep_for(std::chrono::milliseconds{5});
  most_ = 0;
}

void page_cache_bound::keep() {
  const std::uint64_t held = count();
  most_ = std::max(most_.load(), held);
  // More than the surplus: the server goes on reading until the next count.
  if (held > bytes_ - bytes_ / 20) evict(held - (bytes_ - bytes_ / 10));
  ++rounds_;
}

std::uint64_t page_cache_bound::count() {
  std::uint64_t held = 0;
  for (const auto& path : files_of(folder_)) {
    const open_file file{path};
    if (file.is_open()) held += file.cached(0, 0, failure_);
  }
  return held;
}

void page_cache_bound::evict(std::uint64_t surplus) {
  std::uint64_t gone = 0;
  auto files = files_of(folder_);
  std::rotate(files.begin(), std::lower_bound(files.begin(), files.end(), next_), files.end());
  for (const auto& path : files) {
    next_ = path;
    const open_file file{path};
    if (!file.is_open()) continue;
    const off_t size = file.size();
    for (off_t at = 0; at < size && gone < surplus; at += chunk) {
      const std::uint64_t before = file.cached(at, chunk, failure_);
      if (before == 0) continue;
      file.drop(at, chunk, failure_);
      gone += before - std::min(before, file.cached(at, chunk, failure_));
    }
    if (gone >= surplus) break;
  }
  evicted_ += gone;
}

std::string page_cache_bound::to_string() const {
  if (failure_ != 0) return fmt::format("not bounded: {}", std::generic_category().message(failure_.load()));
  return fmt::format("{} to {:.0f} MB: at most {:.0f} MB held, {:.0f} MB evicted",
                     holds() ? "bounded" : "not bounded", megabytes(bytes_), megabytes(most_),
                     megabytes(evicted_));
}

}  // namespace pam::bench
