#pragma once

#include <chrono>
#include <random>

#include "load-tests/swarm/tally.hpp"

namespace pam::load {

/// What users do all day.
struct habits {
  std::chrono::milliseconds think{30'000};                            ///< mean time between a user's actions
  double read_share = 0.70, list_share = 0.10, refresh_share = 0.15;  ///< the rest signs out and in
};

/// A user who is about to act.
struct moment {
  bool is_signed_in = true;
  bool must_refresh = false;           ///< whatever its token says
  std::chrono::seconds token_left{0};  ///< of the access token
  double slowness = 1;                 ///< think times are so much longer now
  bool may_sign_out = true;
};

/// How users behave: which action, and when. Pure: time and chance are passed in. One for all users of a
/// process, who share what may be signed in.
class conduct {
 public:
  using clock = std::chrono::steady_clock;
  using chance = std::mt19937_64;

  /// An access token is not used for the last seconds of its life: requests take time, and clocks differ.
  static constexpr std::chrono::seconds refresh_margin{10};

  explicit conduct(habits of_all) : habits_(of_all) {}

  /// Tokens that end before the next action could come are refreshed first; the rest is drawn by the shares.
  /// Who would sign out reads instead when that is not allowed, or the sign-in after it would be too many.
  [[nodiscard]] operation choose(const moment& at, chance& drawn);
  /// A second has passed.
  /// @param sign_ins  so many more; two seconds' worth are kept at most, and one in any case
  void allow(double sign_ins);

  /// When a user acts who comes upon the scene now.
  [[nodiscard]] clock::time_point first_action(clock::time_point now, chance& drawn) const;
  /// When it acts again: after 0.5 to 1.5 think times, counted from the intended start of its last action. A
  /// slow server does not lower the rate it is measured at.
  [[nodiscard]] clock::time_point next_action(clock::time_point intended, double slowness,
                                              chance& drawn) const;

 private:
  [[nodiscard]] std::chrono::milliseconds think(double slowness) const;

  habits habits_;
  double sign_ins_ = 0;  ///< that are allowed now
};

}  // namespace pam::load
