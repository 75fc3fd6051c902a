#include "db/replica_watch.hpp"

#include <utility>

namespace pam::db {

std::uint64_t replica_watch::listen(listener to) {
  const std::lock_guard held{mutex_};
  listeners_.emplace(++last_number_, std::move(to));
  return last_number_;
}

void replica_watch::forget(std::uint64_t number) {
  const std::lock_guard held{mutex_};
  listeners_.erase(number);
}

void replica_watch::tell(const sight& seen, std::uint64_t teller) {
  const std::lock_guard held{mutex_};
  for (const auto& [number, hear] : listeners_) {
    if (number != teller) hear(seen);
  }
}

}  // namespace pam::db
