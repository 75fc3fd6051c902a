#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>

namespace pam::bench {

/// Keeps what the page cache holds of a folder's files within a bound, from another thread, until it ends:
/// it counts their pages in memory (cachestat(2), Linux 6.5) and, past the bound, writes and
/// evicts some, round robin (sync_file_range(2), posix_fadvise(2)). Needs no rights but those of the files'
/// owner, where a control group's memory.max needs a delegated group. Harder than a kernel short of memory,
/// which keeps the pages that are used most.
class page_cache_bound {
 public:
  page_cache_bound(std::filesystem::path folder, std::uint64_t bytes);
  ~page_cache_bound();
  page_cache_bound(const page_cache_bound&) = delete;
  page_cache_bound& operator=(const page_cache_bound&) = delete;

  /// What is measured begins: the most that was held until now, by reading everything once, is forgotten.
  /// Waits until that has been evicted.
  void begin();
  /// False where pages cannot be counted or evicted: `to_string` says why.
  [[nodiscard]] bool holds() const { return failure_.load() == 0 && most_.load() <= bytes_ + bytes_ / 10; }
  /// "bounded to 120 MB: at most 119 MB held, 533 MB evicted", or that it was not and why.
  [[nodiscard]] std::string to_string() const;

 private:
  void keep();
  std::uint64_t count();
  void evict(std::uint64_t surplus);

  std::filesystem::path folder_;
  std::uint64_t bytes_;
  std::atomic<std::uint64_t> most_{0};
  std::atomic<std::uint64_t> evicted_{0};
  std::atomic<int> failure_{0};  ///< errno of what went wrong
  std::filesystem::path next_;   ///< where eviction goes on
  std::atomic<int> rounds_{0};   ///< counts that were made
  std::atomic<bool> is_over_{false};
  std::thread keeper_;
};

}  // namespace pam::bench
