#include <utility>

#include "db/database.hpp"
#include "db/detail/database_impl.hpp"
#include "db/detail/lease_pool.hpp"
#include "db/detail/traced_step.hpp"

namespace pam::db {

namespace asio = boost::asio;

struct transaction::impl {
  detail::lease connection;
  async::deadline deadline;
  bool is_read_only = false;
  bool is_open = true;
  std::optional<boost::uuids::uuid> account;
  std::weak_ptr<database::impl> owner;

  // A server that refuses a write is not the primary any more, unless we asked it to refuse.
  void note(const error& failure) {
    if (failure.sqlstate == "25006" && !is_read_only) connection->retire();
  }
};

namespace {

error over() {
  error failure;
  failure.code = errc::closed;
  failure.outcome = outcome::not_sent;
  failure.detail = "the transaction is over";
  return failure;
}

/// A step of the transaction itself.
async::call_step step_named(std::string_view literal) {
  async::call_step step;
  step.name = literal;
  step.asked = step.began = std::chrono::steady_clock::now();
  return step;
}

/// Counts the time until it goes out of scope, as a part of the costs and as a step of its own.
class stopwatch {
 public:
  stopwatch(async::call_costs* costs, std::chrono::nanoseconds async::call_costs::* part,
            const async::call_step& step)
      : costs_(costs), part_(part), step_(step) {}
  stopwatch(const stopwatch&) = delete;
  stopwatch& operator=(const stopwatch&) = delete;
  ~stopwatch() {
    if (costs_ == nullptr) return;
    step_.ended = std::chrono::steady_clock::now();
    costs_->*part_ += step_.ended - step_.asked;
    if (costs_->timeline != nullptr) costs_->timeline->add(step_);
  }

  /// What it waited for is there.
  void begins() { step_.began = std::chrono::steady_clock::now(); }
  /// Notes why it failed and hands the error on.
  error failed(error why) {
    detail::note_failure(step_, why);
    return why;
  }

 private:
  async::call_costs* costs_;
  std::chrono::nanoseconds async::call_costs::* part_;
  async::call_step step_;
};

// Until COMMIT was sent nothing of a transaction has taken effect, and the server rolls back what a lost
// connection leaves.
error before_commit(error failure) {
  if (failure.code != errc::rejected) failure.outcome = outcome::not_sent;
  return failure;
}

}  // namespace

transaction::transaction(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
transaction::transaction(transaction&&) noexcept = default;
transaction& transaction::operator=(transaction&&) noexcept = default;
transaction::~transaction() = default;  // the lease rolls back what is still open

asio::awaitable<result<transaction>> database::begin(tx_options options) {
  stopwatch waited{options.deadline.costs(), &async::call_costs::database_queue, step_named("BEGIN")};
  const auto self = impl_;
  const char* const text = options.is_read_only ? "BEGIN READ ONLY" : "BEGIN";
  while (true) {
    auto leased = co_await self->leases_->acquire(options.deadline);
    if (leased.has_error()) co_return waited.failed(leased.error());
    waited.begins();
    detail::lease connection = std::move(*leased);
    auto begun = co_await connection->run_simple(text, options.deadline);
    if (begun.has_error()) {
      // A connection that died while idle says nothing about the next one.
      const bool may_retry = begun.error().code == errc::connection && !async::has_passed(options.deadline);
      if (may_retry && !self->is_closing_) continue;
      co_return waited.failed(before_commit(begun.error()));
    }
    if (PQresultStatus(begun->get()) != PGRES_COMMAND_OK) {
      co_return waited.failed(detail::error_of(begun->get()));
    }
    auto state = std::make_unique<transaction::impl>();
    state->connection = std::move(connection);
    state->deadline = options.deadline;
    state->is_read_only = options.is_read_only;
    state->account = options.account;
    state->owner = self;
    co_return transaction{std::move(state)};
  }
}

asio::awaitable<result<rows>> transaction::execute(const statement& what, params values) {
  if (!impl_ || !impl_->is_open) co_return over();
  if (values.size() != what.parameter_count) {
    error failure = over();
    failure.code = errc::protocol;
    failure.detail = "number of parameters differs from the statement's";
    co_return failure;
  }
  async::call_costs* const costs = impl_->deadline.costs();
  stopwatch worked{costs, &async::call_costs::database,
                   detail::step_of(what, std::chrono::steady_clock::now())};
  if (costs != nullptr) ++costs->statements;
  auto got = co_await impl_->connection->run(what, values, impl_->deadline);
  if (got.has_error()) {
    impl_->is_open = false;
    co_return worked.failed(before_commit(got.error()));
  }
  if (PQresultStatus(got->get()) == PGRES_FATAL_ERROR) {
    const error failure = worked.failed(detail::error_of(got->get()));
    impl_->note(failure);
    co_return failure;
  }
  co_return rows{got->release()};
}

asio::awaitable<result<void>> transaction::commit() {
  if (!impl_ || !impl_->is_open) co_return over();
  impl_->is_open = false;
  stopwatch worked{impl_->deadline.costs(), &async::call_costs::database, step_named("COMMIT")};
  auto done = co_await impl_->connection->run_simple("COMMIT", impl_->deadline);
  // Whatever the answer: it may be committed.
  const auto owner = impl_->owner.lock();
  if (owner && owner->freshness_ && impl_->account) {
    owner->freshness_->note_write(*impl_->account, std::chrono::steady_clock::now());
  }
  if (done.has_error()) co_return worked.failed(done.error());
  if (PQresultStatus(done->get()) == PGRES_FATAL_ERROR) {
    error failure = detail::error_of(done->get());
    impl_->note(failure);
    if (detail::ends_connection(done->get())) failure.outcome = outcome::unknown;
    co_return worked.failed(std::move(failure));
  }
  const bool was_committed = std::string_view{PQcmdStatus(done->get())} == "COMMIT";
  impl_->connection.give_back();
  if (was_committed) co_return result<void>{};
  // COMMIT of a transaction in which a statement failed is a ROLLBACK that reports success.
  error failure;
  failure.code = errc::rejected;
  failure.outcome = outcome::executed;
  failure.sqlstate = "25P02";
  failure.detail = "a statement of the transaction had failed; rolled back";
  co_return worked.failed(std::move(failure));
}

asio::awaitable<void> transaction::rollback() {
  if (!impl_ || !impl_->is_open) co_return;
  impl_->is_open = false;
  const auto done = co_await impl_->connection->run_simple("ROLLBACK", impl_->deadline);
  static_cast<void>(done);  // a connection that cannot even roll back is closed by the pool
  impl_->connection.give_back();
}

}  // namespace pam::db
