#include "db/detail/canceller.hpp"

#include <array>
#include <system_error>
#include <utility>

#include <boost/asio/post.hpp>

namespace pam::db::detail {

namespace asio = boost::asio;

namespace {

constexpr std::size_t requests_at_most = 8;

struct free_cancel {
  void operator()(PGcancel* what) const noexcept { PQfreeCancel(what); }
};

}  // namespace

void canceller::send(const pg_session& session) {
  PGconn* const connection = session.get();
  if (gate_.is_closing() || requests_.size() >= requests_at_most || !session.is_direct()) return;
  if (PQstatus(connection) != CONNECTION_OK || PQtransactionStatus(connection) != PQTRANS_ACTIVE) return;
  std::unique_ptr<PGcancel, free_cancel> what{PQgetCancel(connection)};
  if (!what) return;
  const auto me = requests_.emplace(requests_.end());
  auto ask = [what = std::move(what), executor = context_.get_executor(), weak = weak_from_this(), me] {
    std::array<char, 256> refusal{};
    PQcancel(what.get(), refusal.data(), static_cast<int>(refusal.size()));
    asio::post(executor, [weak, me] {
      if (const auto self = weak.lock()) self->finished(me);
    });
  };
  try {
    me->thread = std::thread{std::move(ask)};
    me->inside = gate_.enter();
  } catch (const std::system_error&) {  // no thread to be had
    requests_.erase(me);
  }
}

void canceller::finished(std::list<request>::iterator which) {
  if (which->thread.joinable()) which->thread.join();
  requests_.erase(which);
}

void canceller::join() {
  gate_.begin_close();
  for (request& one : requests_) {
    if (one.thread.joinable()) one.thread.join();
  }
}

}  // namespace pam::db::detail
