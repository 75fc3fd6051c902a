#include "server/crypto/detail/caller.hpp"

namespace pam::crypto::detail {

boost::asio::execution_context::id waiting_service::id;

void waiting_service::shutdown() {
  std::list<std::shared_ptr<waiting>> left;
  {
    const std::scoped_lock lock{room_->mutex};
    room_->is_open = false;
    left.swap(room_->inside);
  }
  // Outside the lock: a handler owns a coroutine whose end may run any destructor. Nobody else can
  // reach these any more, complete() looks at `is_open` first.
  for (const auto& each : left) each->drop();
}

}  // namespace pam::crypto::detail
