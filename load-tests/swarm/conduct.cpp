#include "load-tests/swarm/conduct.hpp"

#include <algorithm>
#include <cmath>

namespace pam::load {

std::chrono::milliseconds conduct::think(double slowness) const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(habits_.think * slowness);
}

operation conduct::choose(const moment& at, chance& drawn) {
  if (!at.is_signed_in) return operation::sign_in;
  const auto longest_pause = std::chrono::duration_cast<std::chrono::seconds>(think(at.slowness) * 3 / 2);
  if (at.must_refresh || at.token_left < longest_pause + refresh_margin) return operation::refresh;
  std::uniform_real_distribution<double> share(0, 1);
  const double lot = share(drawn);
  if (lot < habits_.read_share) return operation::read;
  if (lot < habits_.read_share + habits_.list_share) return operation::list;
  if (lot < habits_.read_share + habits_.list_share + habits_.refresh_share) return operation::refresh;
  if (sign_ins_ < 1 || !at.may_sign_out) return operation::read;
  sign_ins_ -= 1;  // who signs out signs in again
  return operation::sign_out;
}

void conduct::allow(double sign_ins) {
  sign_ins_ = std::min(sign_ins_ + sign_ins, std::max(1.0, 2 * sign_ins));
}

// As if the user had been thinking for long: what is left of a pause that one comes upon at any moment. Of
// pauses of 0.5 to 1.5, long ones are come upon more often; evenly within one mean pause, second actions
// would meet first ones, and half as many again would act after 30 s. Who appears wants to do something,
// however long it thinks after that.
conduct::clock::time_point conduct::first_action(clock::time_point now, chance& drawn) const {
  std::uniform_real_distribution<double> share(0, 1);
  const double pause = std::sqrt(0.25 + 2 * share(drawn));
  return now + std::chrono::duration_cast<clock::duration>(habits_.think * pause * share(drawn));
}

conduct::clock::time_point conduct::next_action(clock::time_point intended, double slowness,
                                                chance& drawn) const {
  std::uniform_real_distribution<double> share(0.5, 1.5);
  return intended + std::chrono::duration_cast<clock::duration>(think(slowness) * share(drawn));
}

}  // namespace pam::load
