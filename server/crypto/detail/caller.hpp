#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace pam::crypto::detail {

/// Somebody who waits on an execution context for work done on another thread.
class waiting {
 public:
  virtual ~waiting() = default;
  /// Destroys the completion handler without calling it.
  virtual void drop() noexcept = 0;
};

/// All who wait on one execution context. The context may be destroyed while its callers' work still
/// runs elsewhere; from then on nothing may touch it, and the handlers die with it, as those of Asio's
/// own operations do. `mutex` is held around every use of the context by a foreign thread.
struct waiting_room {
  std::mutex mutex;
  bool is_open = true;
  std::list<std::shared_ptr<waiting>> inside;
};

/// Ties a waiting_room to the life of a context.
class waiting_service : public boost::asio::execution_context::service {
 public:
  using key_type = waiting_service;
  static boost::asio::execution_context::id id;

  explicit waiting_service(boost::asio::execution_context& owner)
      : boost::asio::execution_context::service(owner), room_(std::make_shared<waiting_room>()) {}
  [[nodiscard]] const std::shared_ptr<waiting_room>& room() const { return room_; }

 private:
  void shutdown() override;
  std::shared_ptr<waiting_room> room_;
};

/// The one who awaits a `Result`. complete() and the context's end may race from different threads;
/// exactly one of them takes the handler.
template <class Result>
class caller {
 public:
  virtual ~caller() = default;
  /// Posts `value` to the caller's executor; a second call and a call after the context's end do nothing.
  /// Thread-safe.
  virtual void complete(Result value) = 0;
};

template <class Result, class Handler>
class handler_caller final : public caller<Result>,
                             public waiting,
                             public std::enable_shared_from_this<handler_caller<Result, Handler>> {
 public:
  handler_caller(Handler handler, std::shared_ptr<waiting_room> room)
      : room_(std::move(room)),
        work_(boost::asio::prefer(boost::asio::get_associated_executor(handler),
                                  boost::asio::execution::outstanding_work.tracked)),
        handler_(std::move(handler)) {}

  /// Call once, on the context's own thread.
  void enter() {
    const std::scoped_lock lock{room_->mutex};
    place_ = room_->inside.insert(room_->inside.end(), this->shared_from_this());
  }

  void complete(Result value) override {
    const std::shared_ptr<waiting> self = this->shared_from_this();
    const std::scoped_lock lock{room_->mutex};
    if (!room_->is_open || !handler_) return;
    room_->inside.erase(place_);
    auto executor = *work_;
    auto finish = [handler = std::move(*handler_), result = std::move(value)]() mutable {
      // The slot still holds our cancellation handler; what it refers to is over.
      if (auto slot = boost::asio::get_associated_cancellation_slot(handler); slot.is_connected())
        slot.clear();
      std::move(handler)(std::move(result));
    };
    handler_.reset();
    boost::asio::post(executor, std::move(finish));
    work_.reset();
  }

  void drop() noexcept override {
    handler_.reset();
    work_.reset();
  }

 private:
  using work_executor =
      std::decay_t<decltype(boost::asio::prefer(std::declval<boost::asio::associated_executor_t<Handler>>(),
                                                boost::asio::execution::outstanding_work.tracked))>;

  std::shared_ptr<waiting_room> room_;
  std::list<std::shared_ptr<waiting>>::iterator place_;
  std::optional<work_executor> work_;  ///< keeps the context running; gone with the handler
  std::optional<Handler> handler_;
};

/// The caller behind a completion handler, registered with the handler's context.
template <class Result, class Handler>
std::shared_ptr<handler_caller<Result, Handler>> make_caller(Handler handler) {
  auto& context =
      boost::asio::query(boost::asio::get_associated_executor(handler), boost::asio::execution::context);
  auto room = boost::asio::use_service<waiting_service>(context).room();
  auto made = std::make_shared<handler_caller<Result, Handler>>(std::move(handler), std::move(room));
  made->enter();
  return made;
}

}  // namespace pam::crypto::detail
