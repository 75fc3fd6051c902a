#include "db/detail/pipeline_connection.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include <boost/endian/conversion.hpp>

#include "db/detail/bound_values.hpp"

namespace pam::db::detail {

namespace asio = boost::asio;

namespace {

// libpq ends each statement with a NULL. More in a row mean that it waits for nothing any more.
constexpr int nulls_at_most = 3;

// From so many calls on that stand behind one of the same statement, a plan for all values costs less than
// one for each call's own (0.4 ms against 0.12 ms each for a refresh over nine partitions).
constexpr std::ptrdiff_t repeats_worth_one_plan = 8;

// Until the batch's end, whatever the role's setting is. No warning, unlike SET LOCAL outside a block.
constexpr const char* plan_once_sql = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)";

// Who has waited for a stranger's row once does not wait for the next one: a second locked row in the same
// batch is found out at once, and backs off like the first. Our own batches hold rows for less.
constexpr const char* hurry_sql = "SELECT set_config('lock_timeout', '10ms', true)";

// What the run that begins with `first` sends.
const statement& sent_statement(const entry& first) {
  return first.run > 1 ? *first.what->opts.together : *first.what;
}

// Calls whose neighbour before them runs the same statement, in a statement of its own.
std::ptrdiff_t repeats_in(std::span<entry* const> batch) {
  std::ptrdiff_t count = 0;
  for (std::size_t i = 1; i < batch.size(); ++i) {
    if (batch[i - 1]->run == 1 && batch[i]->run == 1 && batch[i]->what == batch[i - 1]->what) ++count;
  }
  return count;
}

void append_int4(std::string& to, std::uint32_t value) {
  boost::endian::native_to_big_inplace(value);
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// An array for each parameter, in PostgreSQL's binary format (array_send): one dimension, no NULL, the lower
// bound 1, an element a caller.
params arrays_of(std::span<entry* const> run) {
  const statement& what = *run.front()->what;
  params arrays;
  std::string one;
  for (std::size_t i = 0; i < what.parameter_count; ++i) {
    one.clear();
    append_int4(one, 1);
    append_int4(one, 0);
    append_int4(one, static_cast<std::uint32_t>(what.parameter_types[i]));
    append_int4(one, static_cast<std::uint32_t>(run.size()));
    append_int4(one, 1);
    for (const entry* item : run) {
      assert(item->values.is_binary(i) && !item->values.is_null(i));
      const std::string_view value = item->values.value(i);
      append_int4(one, static_cast<std::uint32_t>(value.size()));
      one.append(value);
    }
    arrays.add(std::as_bytes(std::span{one}));
    ::explicit_bzero(one.data(), one.size());  // as `params` does it
  }
  return arrays;
}

error broken(std::string_view detail) {
  error failure;
  failure.code = errc::protocol;
  failure.outcome = outcome::unknown;
  failure.detail = detail;
  return failure;
}

// A new epoch is a new text: a pooler's cache answers an equal text with the old, invalid plan.
std::string text_of(const statement& what, std::uint32_t epoch) {
  std::string text{what.sql};
  if (epoch != 0) text.append(" /* plan ").append(std::to_string(epoch)).append(" */");
  return text;
}

// A snapshot of its own, taken before those of the statements behind it (READ COMMITTED): they see at least
// what it says. 0 from a server that is no standby.
constexpr statement replayed_position{
    "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN"
    " (pg_catalog.pg_last_wal_replay_lsn() OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn)::pg_catalog.int8"
    " ELSE 0 END",
    std::array<pg_type, 0>{},
    {}};

std::string name_of(const statement& what, std::uint32_t epoch) {
  std::string name{what.name.view()};
  if (epoch != 0) name.append("_").append(std::to_string(epoch));
  return name;
}

}  // namespace

pipeline_connection::pipeline_connection(std::shared_ptr<pg_session> session, pipeline_core& core,
                                         pipeline_core::channel channel, pooler_mode mode, hooks to)
    : session_(std::move(session)), core_(core), channel_(channel), mode_(mode), hooks_(std::move(to)) {}

// ---- names ----

bool pipeline_connection::send_parse(const statement& what, std::uint32_t epoch) {
  names_[&what] = {name_state::asked, epoch};
  expected_.push_back({&what, epoch});
  const auto* const types = reinterpret_cast<const Oid*>(what.parameter_types.data());
  static_assert(sizeof(Oid) == sizeof(pg_type));
  const std::string text = text_of(what, epoch);
  return PQsendPrepare(session_->get(), name_of(what, epoch).c_str(), text.c_str(),
                       static_cast<int>(what.parameter_count), types) == 1 &&
         PQpipelineSync(session_->get()) == 1;
}

asio::awaitable<bool> pipeline_connection::prepare(std::span<const statement* const> catalogue,
                                                   async::deadline until) {
  if (!has_names()) co_return true;
  for (const statement* what : catalogue) {
    if (!send_parse(*what, 0)) co_return false;
  }
  if (asks_position_ && !send_parse(replayed_position, 0)) co_return false;
  if (!co_await session_->flush(until)) co_return false;
  for (int nulls = 0; !expected_.empty();) {
    pg_session::answer got = co_await session_->next(until);
    if (!got.is_alive || (!got.result && ++nulls > nulls_at_most)) co_return false;
    if (!got.result) continue;
    nulls = 0;
    if (!take(std::move(got.result))) co_return false;
  }
  co_return true;
}

// A statement without a name on this connection has just succeeded: it gets one, under its own Sync
// ahead of the next batch. Through a pooler a name is never parsed twice on a connection.
void pipeline_connection::promote(const entry& first) {
  if (first.was_sent_by_name || !has_names() || first.sent_epoch != first.traits->epoch) return;
  const statement& what = sent_statement(first);
  prepared_name& known = names_[&what];
  const bool is_new = known.epoch != first.sent_epoch || known.state == name_state::unknown;
  const bool may_ask_again = known.state == name_state::refused && mode_ == pooler_mode::direct;
  if (!is_new && !may_ask_again) return;
  known = {name_state::asked, first.sent_epoch};
  to_parse_.emplace_back(&what, first.sent_epoch);
}

// ---- sending ----

bool pipeline_connection::send_run(std::span<entry* const> run) {
  entry& item = *run.front();
  const statement& what = sent_statement(item);
  item.sent_epoch = item.traits->epoch;
  item.was_sent_by_name = false;
  if (has_names()) {
    const auto known = names_.find(&what);
    item.was_sent_by_name = known != names_.end() && known->second.state == name_state::ready &&
                            known->second.epoch == item.sent_epoch;
  }
  const params arrays = run.size() > 1 ? arrays_of(run) : params{};
  const bound_values bound{what, run.size() > 1 ? arrays : item.values};
  PGconn* const connection = session_->get();
  if (item.was_sent_by_name) {
    const std::string later = item.sent_epoch == 0 ? std::string{} : name_of(what, item.sent_epoch);
    return PQsendQueryPrepared(connection, later.empty() ? what.name.c_str() : later.c_str(), bound.count,
                               bound.values.data(), bound.lengths.data(), bound.formats.data(), 1) == 1;
  }
  // One Parse serves all calls of a statement that stand next to each other: the unnamed statement lives
  // until the next Parse, and the batch keeps its server connection until its Sync.
  if (unnamed_ == &what && unnamed_epoch_ == item.sent_epoch) {
    return PQsendQueryPrepared(connection, "", bound.count, bound.values.data(), bound.lengths.data(),
                               bound.formats.data(), 1) == 1;
  }
  unnamed_ = &what;
  unnamed_epoch_ = item.sent_epoch;
  const std::string later = item.sent_epoch == 0 ? std::string{} : text_of(what, item.sent_epoch);
  return PQsendQueryParams(connection, later.empty() ? what.sql.data() : later.c_str(), bound.count,
                           bound.types.data(), bound.values.data(), bound.lengths.data(),
                           bound.formats.data(), 1) == 1;
}

bool pipeline_connection::send_position_query() {
  const auto known = names_.find(&replayed_position);
  if (known != names_.end() && known->second.state == name_state::ready) {
    return PQsendQueryPrepared(session_->get(), replayed_position.name.c_str(), 0, nullptr, nullptr, nullptr,
                               1) == 1;
  }
  return PQsendQueryParams(session_->get(), replayed_position.sql.data(), 0, nullptr, nullptr, nullptr,
                           nullptr, 1) == 1;
}

bool pipeline_connection::send_setting(const char* sql) {
  ++expected_.back().awaited_settings;
  return PQsendQueryParams(session_->get(), sql, 0, nullptr, nullptr, nullptr, nullptr, 1) == 1;
}

// What holds until the batch's end. Not on Citus, which does not pass it on and cannot plan every statement
// generically.
bool pipeline_connection::send_settings(std::span<entry* const> batch) {
  if (!core_.rules(channel_).atomic_batches) return true;
  const bool is_hurried =
      std::all_of(batch.begin(), batch.end(), [](const entry* item) { return item->is_hurried; });
  if (is_hurried && !send_setting(hurry_sql)) return false;
  const bool is_worth_one_plan = !has_names() && repeats_in(batch) >= repeats_worth_one_plan;
  return !is_worth_one_plan || send_setting(plan_once_sql);
}

void pipeline_connection::send(std::span<entry* const> batch) {
  for (const auto& [what, epoch] : std::exchange(to_parse_, {})) {
    if (!send_parse(*what, epoch)) {
      fail(connection_error(session_->get(), errc::connection, outcome::unknown));
      return;
    }
  }
  expected_.push_back({.awaits_position = asks_position_});
  if (asks_position_ && !send_position_query()) {
    fail(connection_error(session_->get(), errc::connection, outcome::unknown));
    return;
  }
  unnamed_ = nullptr;  // another server connection may serve this batch
  if (!send_settings(batch)) {
    fail(connection_error(session_->get(), errc::connection, outcome::unknown));
    return;
  }
  for (auto rest = batch; !rest.empty(); rest = rest.subspan(rest.front()->run)) {
    if (!send_run(rest.first(rest.front()->run))) {
      fail(connection_error(session_->get(), errc::connection, outcome::unknown));
      return;
    }
  }
  if (PQpipelineSync(session_->get()) != 1) {
    fail(connection_error(session_->get(), errc::connection, outcome::unknown));
    return;
  }
  flush();
}

void pipeline_connection::flush() {
  if (is_dead_ || is_writing_) return;
  const int left = PQflush(session_->get());
  if (left < 0) {
    fail(connection_error(session_->get(), errc::connection, outcome::unknown));
  } else if (left > 0) {
    arm_write();
  }
}

void pipeline_connection::arm_write() {
  is_writing_ = true;
  session_->watch().get().async_wait(fd_watch::descriptor::wait_write,
                                     [self = shared_from_this()](const boost::system::error_code& failure) {
                                       self->is_writing_ = false;
                                       if (failure || self->is_dead_) return;
                                       self->flush();
                                     });
}

// ---- reading ----

void pipeline_connection::start() {
  is_started_ = true;
  arm_read();
}

void pipeline_connection::arm_read() {
  session_->watch().get().async_wait(fd_watch::descriptor::wait_read,
                                     [self = shared_from_this()](const boost::system::error_code& failure) {
                                       if (failure || self->is_dead_) return;
                                       self->on_readable();
                                     });
}

void pipeline_connection::on_readable() {
  // What arrived together with the end of the stream is parsed before the connection counts as lost: a
  // Sync in it makes the difference between committed and unknown.
  const bool is_open = consume_input(session_->get());
  if (!drain()) return;
  if (!is_open || PQstatus(session_->get()) != CONNECTION_OK) {
    fail(connection_error(session_->get(), errc::connection, outcome::unknown));
    return;
  }
  // Not before the batches under way were answered: to cut them off would leave them in doubt.
  if (core_.is_drained(channel_)) {
    error useless = broken(core_.has_moved(channel_) ? "the server is no longer the primary" : "replaced");
    useless.code = errc::connection;
    fail(useless);
    return;
  }
  arm_read();
  hooks_.on_progress();
}

// Takes every result that is complete. PQisBusy comes first each time: PQgetResult would block.
bool pipeline_connection::drain() {
  int nulls = 0;
  while (!expected_.empty() && PQisBusy(session_->get()) == 0) {
    pg_result_ptr result{PQgetResult(session_->get())};
    if (!result) {
      if (PQstatus(session_->get()) != CONNECTION_OK) return true;
      if (++nulls > nulls_at_most) return fail(broken("results ended before the Sync"));
      continue;
    }
    nulls = 0;
    if (!take(std::move(result))) return false;
  }
  return true;
}

bool pipeline_connection::take(pg_result_ptr result) {
  const expectation what = expected_.front();
  if (what.parsed != nullptr) return take_of_parse(what, result.get());
  return take_of_batch(std::move(result));
}

bool pipeline_connection::take_of_parse(const expectation& what, const PGresult* result) {
  prepared_name& known = names_[what.parsed];
  switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
      if (known.epoch == what.epoch) known.state = name_state::ready;
      return true;
    case PGRES_FATAL_ERROR:
      if (ends_connection(result))
        return fail(connection_error(session_->get(), errc::connection, outcome::unknown));
      if (known.epoch == what.epoch) known.state = name_state::refused;
      return true;
    case PGRES_PIPELINE_SYNC:
      expected_.pop_front();
      return true;
    default:
      return fail(broken("unexpected answer to Parse"));
  }
}

// An error here ends the connection: without a position no answer of this batch is of use.
bool pipeline_connection::take_position(pg_result_ptr result) {
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) return fail(error_of(result.get()));
  const rows answer{result.release()};
  position_ = static_cast<std::uint64_t>(answer.int8(0, 0));
  expected_.front().awaits_position = false;
  return true;
}

bool pipeline_connection::take_rows(pg_result_ptr result) {
  const std::span<entry* const> run = core_.answering_run(channel_);
  if (run.empty()) return fail(broken("a result nobody asked for"));
  promote(*run.front());
  rows answer{result.release(), position_};
  const bool is_alone = run.size() == 1;
  std::int64_t caller = 0;
  for (entry* item : run) {
    ++caller;
    if (item->is_abandoned) continue;
    static_cast<pipelined_entry*>(item)->answer = is_alone ? std::move(answer) : answer.share_of(caller);
  }
  return core_.executed(channel_) || fail(broken("a result after an error"));
}

bool pipeline_connection::take_of_batch(pg_result_ptr result) {
  if (expected_.front().awaits_position) return take_position(std::move(result));
  if (expected_.front().awaited_settings > 0) {
    --expected_.front().awaited_settings;
    return PQresultStatus(result.get()) == PGRES_TUPLES_OK || fail(error_of(result.get()));
  }
  switch (PQresultStatus(result.get())) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
      return take_rows(std::move(result));
    case PGRES_FATAL_ERROR:
      return take_failure(result.get());
    case PGRES_PIPELINE_ABORTED:
      return core_.aborted(channel_) || fail(broken("aborted without an error"));
    case PGRES_PIPELINE_SYNC:
      expected_.pop_front();
      return core_.synced(channel_, std::chrono::steady_clock::now()) || fail(broken("a Sync too early"));
    default:  // COPY among them, which a pipeline cannot survive
      return fail(broken("unexpected kind of result"));
  }
}

bool pipeline_connection::take_failure(const PGresult* result) {
  error failure = error_of(result);
  if (ends_connection(result)) {
    failure.code = errc::connection;
    failure.outcome = outcome::unknown;
    return fail(failure);
  }
  const entry* const item = core_.answering(channel_);
  if (item != nullptr && item->was_sent_by_name && failure.sqlstate == "26000") {
    names_[&sent_statement(*item)].state = name_state::refused;
  }
  return core_.rejected(channel_, std::move(failure)) || fail(broken("two errors under one Sync"));
}

// ---- the end ----

bool pipeline_connection::fail(const error& why) {
  if (is_dead_) return false;
  const auto self = shared_from_this();
  const error cause = why;  // `why` may live in what is torn down here
  close();
  if (!is_started_) return false;  // nobody knows of it yet
  core_.lose(channel_, std::chrono::steady_clock::now());
  hooks_.on_lost(cause);
  return false;
}

void pipeline_connection::lose(const error& why) {
  fail(why);
}

void pipeline_connection::close() {
  is_dead_ = true;
  expected_.clear();
  session_->close();
}

}  // namespace pam::db::detail
