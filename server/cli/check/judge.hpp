#pragma once

#include "server/cli/check/facts.hpp"
#include "server/cli/check/finding.hpp"

namespace pam::cli::check {

/// Every rule of `pam-auth check`, applied to what was gathered. Pure: no clock, no files, no network.
/// A server that could not be asked gives one finding, not one for each setting it did not show.
[[nodiscard]] findings judge(const facts& all);

/// Its parts, each of which appends to `out`.
void judge_postgres(const facts& all, findings& out);
void judge_replication(const postgres_facts& server, findings& out);
void judge_role(const facts& all, findings& out);
void judge_pools(const facts& all, findings& out);
void judge_queue(const facts& all, findings& out);
void judge_pooler(const facts& all, findings& out);
void judge_host(const facts& all, findings& out);

/// A PgBouncer's version as a number to compare: 1024001 for "1.24.1", 0 for anything else.
[[nodiscard]] int pooler_version(std::string_view text);

}  // namespace pam::cli::check
