#pragma once

#include <cstddef>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include "async/tuple_await.hpp"

namespace pam::async {

/// Counts the background tasks of an object so that its `close()` can wait for them.
///
/// A task holds a `pass` for as long as it runs; `close()` completes when no pass is left. After
/// `close()` was called `enter()` gives empty passes, and a task that gets one must not start.
/// Shard: every member is called on the shard that owns the gate. The gate must outlive its passes.
class gate {
 public:
  class pass {
   public:
    pass() = default;
    explicit pass(gate* owner) : owner_(owner) { ++owner_->count_; }
    pass(pass&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    pass& operator=(pass&& other) noexcept {
      if (this != &other) {
        leave();
        owner_ = std::exchange(other.owner_, nullptr);
      }
      return *this;
    }
    pass(const pass&) = delete;
    pass& operator=(const pass&) = delete;
    ~pass() { leave(); }

    /// False when the gate was already closing: do not start.
    explicit operator bool() const { return owner_ != nullptr; }

   private:
    void leave() {
      if (owner_ == nullptr) return;
      gate* owner = std::exchange(owner_, nullptr);
      if (--owner->count_ == 0) owner->empty_.cancel();
    }
    gate* owner_ = nullptr;
  };

  explicit gate(const boost::asio::any_io_executor& executor)
      : empty_(executor, boost::asio::steady_timer::time_point::max()) {}

  /// A pass for one task; an empty one when the gate is closing.
  [[nodiscard]] pass enter() { return is_closing_ ? pass{} : pass{this}; }

  /// Number of tasks inside.
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] bool is_closing() const { return is_closing_; }

  /// Lets nobody in any more; tasks should watch `is_closing()`.
  void begin_close() { is_closing_ = true; }

  /// Closes the gate and waits until the last task left.
  boost::asio::awaitable<void> close() {
    is_closing_ = true;
    while (count_ != 0) co_await empty_.async_wait(tuple_await);
  }

 private:
  boost::asio::steady_timer empty_;
  std::size_t count_ = 0;
  bool is_closing_ = false;
};

}  // namespace pam::async
