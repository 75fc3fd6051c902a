#pragma once

#include <cstddef>

#include "db/admin_connection.hpp"

namespace pam::db {

/// How hard to try. The defaults find the leak of PgBouncer before 1.21 within a second or two.
struct leak_test_options {
  std::size_t clients = 16;
  std::size_t rounds = 40;
};

struct leak_report {
  std::size_t asked = 0;
  std::size_t wrong = 0;  ///< answers that were somebody else's
  std::size_t lost = 0;   ///< connections that broke, or whose answers came in an order nobody asked for

  [[nodiscard]] bool has_leak() const { return wrong + lost != 0; }
};

/// Sends the pattern that PgBouncer before 1.21 mixes up in transaction mode: a statement whose Sync is
/// held back while the answer before it arrives (PgBouncer gives the server connection to the next client
/// at every ReadyForQuery it counts). Each client compares every answer with what it asked.
///
/// It poisons such a pooler: server connections keep answers nobody has read yet, and hand them to whoever
/// comes next. Never run it beside other clients, and make the pooler drop its server connections
/// afterwards (RECONNECT). Blocking; one thread a client.
/// @return unavailable when a client cannot connect
result<leak_report> test_pooler_for_leaks(const admin_settings& where, const leak_test_options& how);

}  // namespace pam::db
