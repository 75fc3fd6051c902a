#include "server/api/admission.hpp"

#include <algorithm>

#include "async/counting.hpp"

namespace pam::api {
namespace {

constexpr bool is_of_database(net::cost_class cost) {
  return cost == net::cost_class::read || cost == net::cost_class::write;
}

}  // namespace

admission::admission(const std::array<std::size_t, net::cost_classes>& most,
                     std::chrono::milliseconds bearable, std::size_t busy)
    : most_(most),
      database_(most[static_cast<std::size_t>(net::cost_class::read)] +
                    most[static_cast<std::size_t>(net::cost_class::write)],
                bearable, busy) {
  for (std::size_t i = 0; i < net::cost_classes; ++i) publish_limit(static_cast<net::cost_class>(i));
}

std::size_t admission::at_work(net::cost_class of) const noexcept {
  return seen(of).in_flight.load(std::memory_order_relaxed);
}

bool admission::is_full(net::cost_class cost) noexcept {
  if (at_work(cost) >= most_[static_cast<std::size_t>(cost)]) return true;
  return is_of_database(cost) &&
         !database_.admits(at_work(net::cost_class::read) + at_work(net::cost_class::write));
}

bool admission::may_be_full() const noexcept {
  const std::size_t reads = at_work(net::cost_class::read);
  const std::size_t writes = at_work(net::cost_class::write);
  return reads + writes >= database_.limit() ||
         reads >= most_[static_cast<std::size_t>(net::cost_class::read)] ||
         writes >= most_[static_cast<std::size_t>(net::cost_class::write)];
}

void admission::enter(net::cost_class cost) noexcept {
  async::count(seen_[static_cast<std::size_t>(cost)].in_flight);
}

void admission::leave(net::cost_class cost, queue_bound::clock::time_point entered,
                      queue_bound::clock::time_point now, bool was_served) noexcept {
  async::uncount(seen_[static_cast<std::size_t>(cost)].in_flight);
  if (!is_of_database(cost)) return;
  database_.left(entered, now, was_served);
  publish_limit(net::cost_class::read);
  publish_limit(net::cost_class::write);
}

void admission::count_refusal(net::cost_class cost) noexcept {
  async::count(seen_[static_cast<std::size_t>(cost)].refused);
}

void admission::publish_limit(net::cost_class of) noexcept {
  const auto index = static_cast<std::size_t>(of);
  const std::size_t limit = is_of_database(of) ? std::min(most_[index], database_.limit()) : most_[index];
  seen_[index].limit.store(limit, std::memory_order_relaxed);
}

}  // namespace pam::api
