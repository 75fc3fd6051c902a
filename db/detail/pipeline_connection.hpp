#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "db/config.hpp"
#include "db/detail/pg_session.hpp"
#include "db/detail/pipeline_core.hpp"
#include "db/rows.hpp"

namespace pam::db::detail {

/// An entry with the rows it got; the facade adds the caller's handler.
struct pipelined_entry : entry {
  rows answer;
};

/// Drives one libpq connection in pipeline mode for a channel of the core: writes batches, reads what
/// comes, tells the core. Always in a `shared_ptr`; lives on its shard.
class pipeline_connection : public std::enable_shared_from_this<pipeline_connection> {
 public:
  struct hooks {
    std::function<void()> on_progress;          ///< the core has effects
    std::function<void(const error&)> on_lost;  ///< called once; the channel is already lost in the core
  };

  /// @param session  connected, in pipeline mode, nothing under way
  pipeline_connection(std::shared_ptr<pg_session> session, pipeline_core& core,
                      pipeline_core::channel channel, pooler_mode mode, hooks to);

  /// Every batch begins by asking a standby how far it has replayed; the rows then say it. In the batch
  /// itself, since a pooler may lead the next one to another server. Before `prepare`.
  void ask_position() { asks_position_ = true; }

  /// Parses the whole catalogue, one Sync each, where the mode has names. A statement that the server
  /// refuses now (its table is missing yet) travels unnamed later.
  boost::asio::awaitable<bool> prepare(std::span<const statement* const> catalogue, async::deadline until);

  /// Starts reading; the channel may be opened in the core now.
  void start();

  /// Sends one batch the core has handed out for this channel. A failure shows in `on_lost`.
  void send(std::span<entry* const> batch);

  /// Declares the connection lost: the core requeues or fails what was under way.
  void lose(const error& why);

  [[nodiscard]] const pg_session& session() const { return *session_; }

  /// Closes without telling anybody.
  void close();

 private:
  enum class name_state : std::uint8_t { unknown, asked, ready, refused };
  struct prepared_name {
    name_state state = name_state::unknown;
    std::uint32_t epoch = 0;
  };
  /// What libpq's next results belong to: a batch of the core, or a Parse under a Sync of its own.
  struct expectation {
    const statement* parsed = nullptr;
    std::uint32_t epoch = 0;
    bool awaits_position = false;
    int awaited_settings = 0;  ///< with which the batch begins, behind the position
  };

  [[nodiscard]] bool has_names() const { return mode_ != pooler_mode::pgbouncer_safe; }
  bool send_run(std::span<entry* const> run);
  bool send_position_query();
  bool send_settings(std::span<entry* const> batch);
  bool send_setting(const char* sql);
  bool send_parse(const statement& what, std::uint32_t epoch);
  void promote(const entry& first);
  void arm_read();
  void arm_write();
  void flush();
  void on_readable();
  bool drain();
  bool take(pg_result_ptr result);
  bool take_of_parse(const expectation& what, const PGresult* result);
  bool take_of_batch(pg_result_ptr result);
  bool take_rows(pg_result_ptr result);
  bool take_position(pg_result_ptr result);
  bool take_failure(const PGresult* result);
  bool fail(const error& why);

  std::shared_ptr<pg_session> session_;
  pipeline_core& core_;
  pipeline_core::channel channel_;
  pooler_mode mode_;
  hooks hooks_;
  std::unordered_map<const statement*, prepared_name> names_;
  std::vector<std::pair<const statement*, std::uint32_t>> to_parse_;
  std::deque<expectation> expected_;
  bool asks_position_ = false;
  std::uint64_t position_ = 0;  ///< of the batch that is being answered
  /// What the unnamed statement holds inside the batch that is being sent.
  const statement* unnamed_ = nullptr;
  std::uint32_t unnamed_epoch_ = 0;
  bool is_started_ = false;
  bool is_writing_ = false;
  bool is_dead_ = false;
};

}  // namespace pam::db::detail
