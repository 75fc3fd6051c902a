#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "async/gate.hpp"
#include "db/connect_turns.hpp"
#include "db/database.hpp"
#include "db/detail/canceller.hpp"
#include "db/detail/lease_pool.hpp"
#include "db/detail/pipeline_connection.hpp"
#include "db/detail/pipeline_core.hpp"
#include "db/detail/pooler_probe.hpp"
#include "db/detail/replica_gate.hpp"
#include "db/replica_watch.hpp"

namespace pam::db {

/// The facade's inside: callers' entries, the channels' connections and what keeps them connected.
struct database::impl : std::enable_shared_from_this<database::impl> {
  using handler = boost::asio::async_result<boost::asio::use_awaitable_t<>, void(result<rows>)>::handler_type;

  /// One caller's statement. Recycled; its memory belongs to `entries_`.
  struct call : detail::pipelined_entry {
    std::optional<handler> reply;
    async::call_costs* costs = nullptr;  ///< only while the caller waits
    detail::time_point submitted;        ///< set when somebody counts
    detail::time_point sent;             ///< the first time
  };

  /// Whom the pipelines lead to.
  enum class role : std::uint8_t { primary, replica };

  impl(boost::asio::io_context& context, config settings, std::span<const statement* const> catalogue,
       role whom);
  ~impl();
  static std::shared_ptr<impl> make(boost::asio::io_context& context, config settings,
                                    std::span<const statement* const> catalogue, role whom);

  void begin();
  boost::asio::awaitable<void> close(async::deadline deadline);
  void drop();

  // Calls
  void submit(handler reply, const statement& what, params values, call_options options);
  void cancelled(call& item, std::uint64_t number);
  void refuse(handler reply, errc code, std::string_view detail);
  boost::asio::awaitable<result<rows>> run(const statement& what, params values, call_options options);

  // Replicas (database_replicas.cpp)
  boost::asio::awaitable<result<rows>> read_somewhere(std::shared_ptr<impl> self, const statement* what,
                                                      params values, call_options options);
  boost::asio::awaitable<result<rows>> write_and_mark(std::shared_ptr<impl> self, const statement* what,
                                                      params values, call_options options);
  boost::asio::awaitable<result<rows>> ask_replica(std::size_t which, const statement& what, params values,
                                                   async::deadline deadline);
  boost::asio::awaitable<void> probe_primary(std::shared_ptr<impl> self);
  boost::asio::awaitable<void> probe_replica(std::shared_ptr<impl> self, std::size_t which);
  boost::asio::awaitable<void> rest(async::deadline until);
  struct look;
  boost::asio::awaitable<bool> wait_for_look(std::size_t whose, look& mine);
  void listen_to_others();
  void hear(const replica_watch::sight& seen);
  void tell(std::size_t whose, detail::time_point asked, wal_position at);
  void note_gate();

  // The turn of the event loop
  void schedule_flush();
  void flush();
  void deliver();
  void arm_timer();
  void on_timer();
  void recycle(call& item);
  static void note_sent(std::span<detail::entry* const> batch, detail::time_point now);
  static void count_costs(call& item);

  // Connections (database_connect.cpp)
  void spawn_maintenance();
  boost::asio::awaitable<void> maintain(std::shared_ptr<impl> self, std::size_t pipeline);
  std::optional<std::size_t> vacancy(std::size_t pipeline) const;
  boost::asio::awaitable<void> wait_for_turn();
  boost::asio::awaitable<result<void>> connect_channel(std::size_t channel);
  boost::asio::awaitable<result<void>> connect_channel_to(std::size_t channel, std::size_t host);
  void give_up_other_hosts(std::size_t host);
  boost::asio::awaitable<result<std::shared_ptr<detail::pg_session>>> open_lease(async::deadline until);
  [[nodiscard]] const std::string& database_at(const endpoint& where) const {
    return where.database.empty() ? settings_.database : where.database;
  }
  boost::asio::awaitable<void> wait_change(detail::time_point until);
  void notify();
  void replace(std::size_t channel);
  void on_lost(std::size_t channel, const error& why);
  void note_attempt(const result<void>& outcome);
  std::chrono::milliseconds jittered(std::chrono::milliseconds base);
  [[nodiscard]] std::chrono::milliseconds attempt_budget() const;

  boost::asio::io_context& context_;
  const config settings_;
  const role role_;
  const std::span<const statement* const> catalogue_;

  detail::pipeline_core core_;
  /// One channel of the core. Each pipeline has two: the second one serves while the connection of the
  /// first, which stalled, still has the time to answer.
  struct link {
    std::shared_ptr<detail::pipeline_connection> connection;
    std::optional<detail::time_point> closes_at;  ///< set when it stalled and is being replaced
    std::size_t host = 0;                         ///< of the settings
  };
  std::vector<link> links_;
  std::shared_ptr<detail::canceller> cancels_;
  std::shared_ptr<detail::lease_pool> leases_;
  async::gate gate_;
  detail::stop_list connecting_;

  std::deque<call> entries_;  ///< stable addresses; never shrinks below its high-water mark
  std::vector<call*> free_;
  detail::pipeline_core::effects effects_;
  struct answered_call {
    handler reply;
    result<rows> value;
  };
  std::vector<answered_call> answered_;

  boost::asio::steady_timer timer_;
  std::optional<detail::time_point> armed_for_;
  bool is_flush_scheduled_ = false;
  bool is_started_ = false;
  bool is_closing_ = false;

  std::vector<boost::asio::steady_timer*> watchers_;  ///< whoever waits for a change of state
  bool is_connecting_ = false;
  detail::time_point next_probe_{};
  std::minstd_rand random_{std::random_device{}()};  ///< jitter of reconnects
  unsigned refusals_ = 0;
  unsigned failed_rounds_ = 0;  ///< over all hosts, since the last success
  connect_turns own_turns_;
  std::size_t preferred_host_ = 0;
  std::optional<error> last_failure_;
  capabilities learned_;
  detail::counter connects_, disconnects_, ready_;

  std::vector<std::shared_ptr<impl>> replicas_;    ///< one pipeline each, in the order of the settings
  std::optional<detail::replica_gate> freshness_;  ///< present when there are replicas
  replica_watch own_watch_;
  replica_watch& watch_;
  std::uint64_t ears_ = 0;  ///< our number among those who listen
  /// A probe's memory.
  struct look {
    detail::time_point asked{};  ///< the last one of our own
    bool must = false;           ///< what others say does not do
  };
  look at_primary_;
  std::uint64_t looked_connects_ = 0;  ///< at the last look of our own
  std::uint32_t looked_timeline_ = 0;
  detail::counter replica_reads_, replica_fallbacks_, replica_waits_, replica_ejections_, replicas_admitted_;
};

}  // namespace pam::db
