#pragma once

#include <cstddef>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "server/net/request_context.hpp"

namespace pam::net {

/// What the network layer needs from the application: one object a shard.
class service {
 public:
  virtual ~service() = default;

  /// Answers into `request.out` what needs neither a wait nor a coroutine; false, and nothing changed, for
  /// everything else: `serve` is called then. An exception becomes a bare 500.
  virtual bool serve_at_once(request_context& /*request*/) { return false; }

  /// Answers one request into `request.out`. Runs as one coroutine on the shard; an exception that
  /// escapes becomes a bare 500 and a log line.
  virtual boost::asio::awaitable<void> serve(request_context& request) = 0;

  /// Fills `request.out` for a request the network layer itself refuses (400 malformed, 408 too slow,
  /// 413 body, 414 target, 417 expectation, 431 header, 501 transfer coding, 503 no memory, 505 version).
  /// Fields that were parsed before the refusal may be present; the connection ends after the answer. Must
  /// not throw.
  /// @param code    stable error code such as "bad_request" or "request_entity_too_large"
  /// @param detail  one sentence that names the limit or rule that was broken
  virtual void refuse(request_context& request, unsigned status, std::string_view code,
                      std::string_view detail) noexcept = 0;

  /// Called after the last byte of an answer was handed to the socket, or the peer was lost before.
  /// The place for the access-log line and the latency histogram. Must not throw.
  virtual void finished(const request_context& request, bool was_sent) noexcept = 0;

  /// Called when new connections begin to be reset because `limits::connections` are open: not again while
  /// the server is full, nor within a minute. Must not throw.
  virtual void shedding(std::size_t /*connections*/) noexcept {}
};

}  // namespace pam::net
