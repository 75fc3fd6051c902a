#pragma once

#include <iosfwd>

#include "server/runtime/config.hpp"

namespace pam::cli {

struct check_options {
  unsigned processes = 0;  ///< of ours that share the database; 0: as configured
  bool is_json = false;
};

/// `pam-auth check`: asks PostgreSQL on both routes, PgBouncer's console and this machine, and writes one
/// line a finding to `out`. Changes nothing.
/// @return failure when a finding is a danger, else success
int run_check(const runtime::configuration& settings, const check_options& options, std::ostream& out);

/// `pam-auth check --pooler-leak-test`: sends the pattern that makes an old PgBouncer mix up its clients.
/// @param is_alone  the operator's word that nobody else uses the pooler; refused without it, and when the
///                  pooler's console names somebody else
/// @return failure when answers were mixed up or the test could not be done, usage without that word
int run_leak_test(const runtime::configuration& settings, bool is_alone, std::ostream& out,
                  std::ostream& err);

/// `pam-auth check --suggest`: PostgreSQL's settings for a machine; 0: this one's.
int run_suggest(std::uint64_t memory_gib, unsigned cores, std::ostream& out);

}  // namespace pam::cli
