#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "async/deadline.hpp"
#include "db/config.hpp"
#include "db/detail/pg_session.hpp"

namespace pam::db::detail {

/// What a fresh connection says about whom it leads to.
struct server_facts {
  bool is_direct = false;     ///< the process id of the greeting is the backend's own: nothing stands between
  bool is_read_only = false;  ///< a standby, or read-only by default
  bool is_citus = false;
  int version = 0;  ///< as PQserverVersion
};

/// What PgBouncer's console says. Version 0 when it cannot be asked or does not say.
struct pooler_facts {
  int version = 0;  ///< 1018 for 1.18
  long max_prepared_statements = 0;
};

/// "PgBouncer 1.24.1" -> 1024; 0 for anything else.
[[nodiscard]] int parse_pooler_version(std::string_view text);

/// The mode to use. A pooler we know too little of, or an old one, gets the safe mode, whatever the
/// configuration hopes: the others would hand our rows to strangers.
///
/// `direct` needs proof: a pooler greets with a cancellation key of its own making, so that only a
/// connection without one shows the same process id in its greeting and in `pg_backend_pid()`.
/// A console that does not exist proves nothing: other poolers have none.
[[nodiscard]] pooler_mode choose_mode(pooler_mode wanted, const server_facts& server,
                                      const pooler_facts& pooler, std::size_t catalogue_size);

/// Asks a fresh connection, one statement under one Sync (harmless in every mode).
boost::asio::awaitable<result<server_facts>> ask_server(pg_session& session, async::deadline until);

/// Asks the pooler's console over a connection of its own.
boost::asio::awaitable<pooler_facts> ask_console(boost::asio::io_context& context, stop_list& stops,
                                                 const config& settings, const endpoint& where,
                                                 async::deadline until);

/// What trying a mode has shown.
enum class proof : std::uint8_t {
  holds,
  fails,      ///< an answer was wrong: the mode must not be used here
  no_answer,  ///< too slow or lost: nothing was shown
};

/// Tries the chosen mode with that mode's own pattern on a connection in pipeline mode: every value must
/// come back to where it was asked. In the safe mode one batch at a time, never more.
/// @return anything but `holds`: the connection is of no more use
boost::asio::awaitable<proof> prove_mode(pg_session& session, pooler_mode mode, async::deadline until);

}  // namespace pam::db::detail
