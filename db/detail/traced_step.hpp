#pragma once

#include "async/call_timeline.hpp"
#include "db/error.hpp"
#include "db/statement.hpp"

namespace pam::db::detail {

/// A statement as a step of its request's timeline, whose times are still to come.
[[nodiscard]] inline async::call_step step_of(const statement& what, async::call_step::time_point asked) {
  async::call_step step;
  step.what = async::call_step::kind::statement;
  step.name = what.opts.summary;
  step.id = what.name.view();
  step.asked = step.began = asked;
  return step;
}

inline void note_failure(async::call_step& step, const error& failure) {
  step.failure = to_string(failure.code);
  step.set_sqlstate(failure.sqlstate);
}

}  // namespace pam::db::detail
