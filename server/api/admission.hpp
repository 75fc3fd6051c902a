#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "server/api/address_limits.hpp"
#include "server/api/queue_bound.hpp"
#include "server/net/router.hpp"

namespace pam::api {

/// Requests in flight and refusals of one cost class. Written on the shard, readable from any thread.
struct admission_statistics {
  std::atomic<std::uint64_t> in_flight{0};
  std::atomic<std::uint64_t> refused{0};
  std::atomic<std::uint64_t> limit{0};  ///< that holds now
};

/// The places of all cost classes. Reads and writes stand in one queue, the database's, and share its bound,
/// so that of each the same part is served. Shard: lives on one.
class admission {
 public:
  /// @param most      of each class
  /// @param bearable  wait of reads and writes; 0: any
  /// @param busy      see queue_bound
  admission(const std::array<std::size_t, net::cost_classes>& most, std::chrono::milliseconds bearable,
            std::size_t busy);

  /// Whether a class has no place. A refusal for the bound's sake is remembered by it.
  [[nodiscard]] bool is_full(net::cost_class cost) noexcept;
  /// Whether `is_full` may be true of reads or writes.
  [[nodiscard]] bool may_be_full() const noexcept;
  void enter(net::cost_class cost) noexcept;
  void leave(net::cost_class cost, queue_bound::clock::time_point entered, queue_bound::clock::time_point now,
             bool was_served) noexcept;
  void count_refusal(net::cost_class cost) noexcept;
  [[nodiscard]] const admission_statistics& seen(net::cost_class of) const {
    return seen_[static_cast<std::size_t>(of)];
  }

 private:
  void publish_limit(net::cost_class of) noexcept;
  [[nodiscard]] std::size_t at_work(net::cost_class of) const noexcept;

  std::array<std::size_t, net::cost_classes> most_;
  queue_bound database_;
  std::array<admission_statistics, net::cost_classes> seen_;
};

/// One admitted request; leaving the scope frees its place.
class admitted_request {
 public:
  admitted_request(admission& by, net::cost_class cost, address_limits::share held)
      : by_(&by), cost_(cost), held_(std::move(held)) {
    by.enter(cost);
  }
  admitted_request(admitted_request&& other) noexcept
      : by_(std::exchange(other.by_, nullptr)),
        cost_(other.cost_),
        was_served_(other.was_served_),
        entered_(other.entered_),
        held_(std::move(other.held_)) {}
  admitted_request(const admitted_request&) = delete;
  admitted_request& operator=(const admitted_request&) = delete;
  admitted_request& operator=(admitted_request&&) = delete;
  ~admitted_request() {
    if (by_ != nullptr) by_->leave(cost_, entered_, queue_bound::clock::now(), was_served_);
  }

  /// The answer is a 503: nothing was done for it.
  void was_refused() { was_served_ = false; }

 private:
  admission* by_;
  net::cost_class cost_;
  bool was_served_ = true;
  queue_bound::clock::time_point entered_ = queue_bound::clock::now();
  address_limits::share held_;
};

}  // namespace pam::api
