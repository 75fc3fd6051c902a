// The lightest HTTP client that still counts answers: one epoll loop, prepared requests, no parsing of an
// answer that has the length and the status line of the one before.
//
//   net_client hammer       keep-alive requests in a closed loop for some seconds
//   net_client hold         connections with one request each, then idle until standard input ends
//   net_client handshakes   connect, handshake, one request, reset; with --resume everybody comes twice, and
//                           the second time, by the ticket of the first, is what is counted
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/net_tools/event_loop.hpp"
#include "load-tests/swarm/histogram.hpp"
#include "load-tests/swarm/http_answer.hpp"
#include "load-tests/swarm/tally.hpp"
#include "load-tests/swarm/tls_link.hpp"
#include "server/net/tls_buffers.hpp"

namespace pam::bench {
namespace {

using clock = std::chrono::steady_clock;
using outcome = load::tls_link::outcome;

struct plan {
  std::string address = "127.0.0.1";
  std::string source = "127.0.1.99";
  std::uint16_t port = 0;
  std::string certificate;   ///< empty: plaintext
  std::string requests;      ///< file of whole requests, separated by NUL; connections take them in turn
  bool resumes = false;      ///< with the ticket of a visit before
  bool takes_turns = false;  ///< each request of a connection is the next of the file, not its own again
  std::size_t connections = 64;
  std::size_t in_flight = 64;  ///< handshakes at once
  double seconds = 2;
  std::size_t answers = 0;  ///< hammer ends after so many, however long it takes; 0: by time
  unsigned status = 200;    ///< what a right answer says
};

struct peer {
  load::tls_link tls;
  int plain = -1;
  std::string_view request;
  std::string in;               ///< an answer that has not arrived whole
  std::size_t answer_size = 0;  ///< of the last answer
  clock::time_point sent{};
  bool is_ready = false;
};

class client {
 public:
  explicit client(plan how)
      : how_(std::move(how)),
        tls_(how_.certificate.empty() ? nullptr
                                      : std::make_unique<load::tls_client>(how_.certificate, how_.resumes)),
        source_(address_of(how_.source, 0)),
        target_(address_of(how_.address, how_.port)),
        peers_(std::make_unique<peer[]>(how_.connections)) {
    read_requests();
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;

  void hammer() {
    is_repeating_ = true;
    connect_all();
    const auto began = clock::now();
    const auto cpu = load::cpu_time();
    const auto end =
        began + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(how_.seconds));
    fmt::print("{{\"began\":true}}\n");
    std::fflush(stdout);
    answers_ = 0;
    latency_ = load::histogram{};
    const auto goes_on = [&] { return how_.answers != 0 ? answers_ < how_.answers : clock::now() < end; };
    while (goes_on() && failed_ == 0) turn(std::chrono::milliseconds{100});
    report(began, cpu);
  }

  void hold() {
    const auto began = clock::now();
    const auto cpu = load::cpu_time();
    visit_all();
    report(began, cpu);
    std::array<char, 64> ignored;
    while (::read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) continue;
  }

  void handshakes() {
    is_resetting_ = true;
    if (how_.resumes) visit_all();
    answers_ = 0;
    must_resume_ = how_.resumes;
    fmt::print("{{\"began\":true}}\n");
    std::fflush(stdout);
    const auto began = clock::now();
    const auto cpu = load::cpu_time();
    visit_all();
    report(began, cpu);
  }

 private:
  void visit_all() {
    connect_all();
    while (answers_ + failed_ < how_.connections) turn();
  }

  void read_requests() {
    std::ifstream file(how_.requests, std::ios::binary);
    text_.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    std::string_view left = text_;
    while (!left.empty()) {
      const std::size_t end = left.find('\0');
      requests_.push_back(left.substr(0, end));
      left.remove_prefix(end == std::string_view::npos ? left.size() : end + 1);
    }
    if (requests_.empty()) throw std::runtime_error("no request in " + how_.requests);
  }

  void connect_all() {
    for (std::size_t i = 0; i < how_.connections; ++i) {
      while (connecting_ >= how_.in_flight) turn();
      peers_[i].request = next_request();
      open(peers_[i]);
    }
    while (connecting_ > 0) turn();
  }

  std::string_view next_request() { return requests_[next_++ % requests_.size()]; }

  void open(peer& of) {
    ++connecting_;
    if (tls_) {
      if (!of.tls.open(*tls_, source_, target_)) throw std::runtime_error("cannot connect");
    } else {
      const int on = 1;
      of.plain = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      ::setsockopt(of.plain, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      if (::connect(of.plain, reinterpret_cast<const sockaddr*>(&target_), sizeof(target_)) != 0 &&
          errno != EINPROGRESS) {
        throw std::runtime_error("cannot connect");
      }
    }
    loop_.add(of, descriptor(of), EPOLLOUT);
  }

  [[nodiscard]] int descriptor(const peer& of) const { return tls_ ? of.tls.descriptor() : of.plain; }

  void turn(clock::duration wait = std::chrono::seconds{1}) {
    loop_.turn(wait, now_, [this](peer& of) { on_event(of); });
  }

  void on_event(peer& of) {
    if (of.is_ready) return on_readable(of);
    outcome done = outcome::done;
    if (tls_) {
      done = loop_.advance(of, of.tls);
      if (done == outcome::want_read || done == outcome::want_write) return;
    } else {
      loop_.change(of, of.plain, EPOLLIN);
    }
    --connecting_;
    if (done != outcome::done || (must_resume_ && !of.tls.is_resumed())) return fail(of);
    of.is_ready = true;
    send(of);
  }

  void send(peer& of) {
    of.sent = now_;
    const bool is_whole = tls_ ? of.tls.write(of.request).bytes == of.request.size()
                               : ::send(of.plain, of.request.data(), of.request.size(), MSG_NOSIGNAL) ==
                                     static_cast<ssize_t>(of.request.size());
    if (!is_whole) fail(of);  // a socket with nothing under way takes a small request
  }

  void on_readable(peer& of) {
    std::size_t got = 0;
    if (tls_) {
      const load::tls_link::transfer read = of.tls.read(buffer_);
      if (read.what == outcome::want_read) return;
      got = read.bytes;
    } else {
      const ssize_t read = ::recv(of.plain, buffer_.data(), buffer_.size(), 0);
      if (read < 0 && errno == EAGAIN) return;
      got = read < 0 ? 0 : static_cast<std::size_t>(read);
    }
    if (got == 0) return fail(of);
    const std::string_view bytes(buffer_.data(), got);
    // The answer before had this size and was right: the status line is enough.
    if (of.in.empty() && got == of.answer_size && bytes.substr(9, 3) == status_) return on_answer(of);
    of.in += bytes;
    const load::parsed_answer parsed = load::parse_answer(of.in);
    if (parsed.is_malformed) return fail(of);
    if (!parsed.answer) return;
    if (parsed.answer->status != how_.status || parsed.answer->bytes != of.in.size()) {
      if (failed_ == 0) fmt::print(stderr, "the first wrong answer:\n{}\n", of.in);
      return fail(of);
    }
    of.answer_size = of.in.size();
    of.in.clear();
    on_answer(of);
  }

  void on_answer(peer& of) {
    ++answers_;
    latency_.add(std::chrono::duration_cast<std::chrono::microseconds>(now_ - of.sent));
    if (is_repeating_) {
      if (how_.takes_turns) of.request = next_request();
      return send(of);
    }
    if (is_resetting_) reset(of);
  }

  void reset(peer& of) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(descriptor(of), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    of.tls.abort();
    of.is_ready = false;
    if (of.plain >= 0) ::close(of.plain);
    of.plain = -1;
  }

  void fail(peer& of) {
    ++failed_;
    reset(of);
  }

  void report(clock::time_point began, std::chrono::microseconds cpu) const {
    const std::chrono::duration<double> took = clock::now() - began;
    fmt::print(
        "{{\"answers\":{},\"failed\":{},\"seconds\":{:.4f},\"cpu_seconds\":{:.4f},\"p50_us\":{},\"p99_us\":{}"
        "}}\n",
        answers_, failed_, took.count(), std::chrono::duration<double>(load::cpu_time() - cpu).count(),
        latency_.quantile(0.5).count(), latency_.quantile(0.99).count());
    std::fflush(stdout);
  }

  plan how_;
  std::unique_ptr<load::tls_client> tls_;
  sockaddr_in source_;
  sockaddr_in target_;
  std::unique_ptr<peer[]> peers_;
  event_loop<peer> loop_;
  std::string text_;
  std::vector<std::string_view> requests_;
  std::string status_ = std::to_string(how_.status);
  std::array<char, 64 * 1024> buffer_;
  load::histogram latency_;
  clock::time_point now_ = clock::now();
  std::size_t connecting_ = 0;
  std::size_t answers_ = 0;
  std::size_t failed_ = 0;
  std::size_t next_ = 0;
  bool is_repeating_ = false;
  bool is_resetting_ = false;
  bool must_resume_ = false;
};

}  // namespace
}  // namespace pam::bench

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  pam::net::keep_tls_buffers();
  pam::bench::plan how;
  CLI::App app{"A light HTTP client for benches"};
  app.require_subcommand(1);
  CLI::App* const hammer = app.add_subcommand("hammer", "keep-alive requests in a closed loop");
  CLI::App* const hold = app.add_subcommand("hold", "one request each, then idle until standard input ends");
  CLI::App* const handshakes = app.add_subcommand("handshakes", "connect, one request, reset");
  for (CLI::App* const each : {hammer, hold, handshakes}) {
    each->add_option("--port", how.port)->required();
    each->add_option("--source", how.source, "IPv4 address to connect from");
    each->add_option("--certificate", how.certificate, "PEM file of the trust anchor; none: plaintext");
    each->add_option("--requests", how.requests, "file of requests, separated by NUL")->required();
    each->add_flag("--in-turn", how.takes_turns, "the next request of the file each time");
    each->add_option("--connections", how.connections)->check(CLI::Range(1, 19'900));
    each->add_option("--in-flight", how.in_flight, "handshakes at once");
    each->add_flag("--resume", how.resumes,
                   "of handshakes: everybody comes twice, the second time is counted");
    each->add_option("--seconds", how.seconds);
    each->add_option("--answers", how.answers, "of hammer, instead of seconds");
    each->add_option("--status", how.status, "what a right answer says");
  }
  CLI11_PARSE(app, argc, argv);
  try {
    const auto driven = std::make_unique<pam::bench::client>(how);
    if (hammer->parsed()) driven->hammer();
    if (hold->parsed()) driven->hold();
    if (handshakes->parsed()) driven->handshakes();
  } catch (const std::exception& failure) {
    std::fputs(fmt::format("net_client: {}\n", failure.what()).c_str(), stderr);
    return 1;
  }
  return 0;
}
