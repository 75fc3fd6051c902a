#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "server/runtime/breach_answer.hpp"

namespace pam::runtime {

/// The ranges that were asked last, by prefix: at most `capacity`, for at most `lifetime` each.
class breach_cache {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  static constexpr std::size_t capacity = 256;  ///< 8 KiB each at a thousand hashes
  static constexpr std::chrono::hours lifetime{1};

  /// Null when it is not known, or was asked too long ago. Valid until the next call.
  [[nodiscard]] const breach_range* find(const std::string& prefix, time_point now) {
    const auto found = by_prefix_.find(prefix);
    if (found == by_prefix_.end()) return nullptr;
    if (found->second->kept + lifetime <= now) {
      order_.erase(found->second);
      by_prefix_.erase(found);
      return nullptr;
    }
    order_.splice(order_.begin(), order_, found->second);
    return &order_.front().range;
  }

  void keep(const std::string& prefix, breach_range range, time_point now) {
    if (const auto found = by_prefix_.find(prefix); found != by_prefix_.end()) {
      order_.erase(found->second);
      by_prefix_.erase(found);
    }
    order_.push_front({prefix, std::move(range), now});
    by_prefix_.emplace(prefix, order_.begin());
    if (order_.size() <= capacity) return;
    by_prefix_.erase(order_.back().prefix);
    order_.pop_back();
  }

  [[nodiscard]] std::size_t size() const { return order_.size(); }

 private:
  struct entry {
    std::string prefix;
    breach_range range;
    time_point kept;
  };
  std::list<entry> order_;  ///< the last asked first
  std::unordered_map<std::string, std::list<entry>::iterator> by_prefix_;
};

}  // namespace pam::runtime
