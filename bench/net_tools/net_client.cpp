// The lightest HTTP client that still counts answers: one epoll loop, prepared requests, no parsing of an
// answer that has the length and the status line of the one before.
//
//   net_client hammer       keep-alive requests in a closed loop for some seconds
//   net_client hold         connections with one request each, then idle until standard input ends
//   net_client handshakes   connect, handshake, one request, reset; with --resume everybody comes twice, and
//                           the second time, by the ticket of the first, is what is counted
//
// After the first answer of a TLS 1.3 connection `hammer` seals and opens records itself, and of sixteen
// answers of the same length it opens one. With OpenSSL around each record a request would cost it as much as
// a server that answers at once, and the generator would be what is measured.
#include <netinet/tcp.h>
#include <openssl/ssl.h>
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
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/net_tools/event_loop.hpp"
#include "bench/net_tools/record_layer.hpp"
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

/// What OpenSSL told of the keys of a connection that it made.
struct told {
  SSL* ssl = nullptr;
  traffic_secrets secrets;
};

/// A connection without OpenSSL's object around its records.
struct bare_records {
  bare_records(record_layer sealing, record_layer opening)
      : out(std::move(sealing)), in(std::move(opening)) {}

  record_layer out;
  record_layer in;
  bool is_in_step = false;      ///< `in` knows the number of the server's next record
  std::size_t answer_size = 0;  ///< of the record with the last answer that was opened; 0: none yet
  unsigned unopened = 0;        ///< answers since then
  std::string waiting;          ///< a record that has not arrived whole
};

constexpr unsigned answers_for_each_opened = 16;
constexpr std::uint64_t most_tickets = 8;

struct peer {
  load::tls_link tls;
  std::unique_ptr<bare_records> bare;
  int plain = -1;
  std::string_view request;     ///< with the content type of its record behind it
  std::string in;               ///< an answer that has not arrived whole
  std::size_t answer_size = 0;  ///< of the last answer
  clock::time_point sent{};
  bool is_ready = false;
  bool is_settled = false;  ///< had its first answer
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
    if (tls_) SSL_CTX_set_keylog_callback(tls_->native(), &client::keep_secret);
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
    // OpenSSL does not know how many records were sent: it must not say goodbye.
    for (std::size_t i = 0; i < how_.connections; ++i) reset(peers_[i]);
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
      requests_.emplace_back(left.substr(0, end)) += record_layer::application_data;
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
    if (of.bare) return on_readable_bare(of);
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
    const std::string_view text = of.request.substr(0, of.request.size() - 1);
    bool is_whole = false;
    if (of.bare) {
      is_whole = send(of, of.bare->out.seal(of.request));
    } else {
      is_whole = tls_ ? of.tls.write(text).bytes == text.size() : send(of, text);
    }
    if (!is_whole) fail(of);  // a socket with nothing under way takes a small request
  }

  bool send(peer& of, std::string_view bytes) {
    return ::send(descriptor(of), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }

  /// SSL_CTX_set_keylog_callback(3): a label, the client's random number and the secret.
  static void keep_secret(const SSL* ssl, const char* line) {
    std::string_view rest(line);
    const std::string_view label = rest.substr(0, rest.find(' '));
    const bool is_client = label == "CLIENT_TRAFFIC_SECRET_0";
    if (!is_client && label != "SERVER_TRAFFIC_SECRET_0") return;
    rest.remove_prefix(rest.rfind(' ') + 1);
    const auto digit = [](char c) {
      return static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    };
    std::vector<std::uint8_t> secret;
    for (std::size_t i = 0; i + 1 < rest.size(); i += 2)
      secret.push_back(static_cast<std::uint8_t>(digit(rest[i]) << 4 | digit(rest[i + 1])));
    told& of = told_[static_cast<const load::tls_link*>(SSL_get_app_data(ssl))];
    of.ssl = const_cast<SSL*>(ssl);
    (is_client ? of.secrets.client : of.secrets.server) = std::move(secret);
  }

  /// From now on without OpenSSL's object, if the suite is one that record_layer knows: one request was sent.
  void become_bare(peer& of) {
    const auto found = told_.find(&of.tls);
    if (found == told_.end() || of.tls.has_pending()) return;
    const SSL_CIPHER* const suite = SSL_get_current_cipher(found->second.ssl);
    const EVP_CIPHER* const cipher = EVP_get_cipherbynid(SSL_CIPHER_get_cipher_nid(suite));
    if (cipher == nullptr || EVP_CIPHER_get_mode(cipher) != EVP_CIPH_GCM_MODE) return;
    const EVP_MD* const digest = SSL_CIPHER_get_handshake_digest(suite);
    const traffic_secrets& secrets = found->second.secrets;
    using enum record_layer::direction;
    of.bare = std::make_unique<bare_records>(record_layer(seals, secrets.client, cipher, digest, 1),
                                             record_layer(opens, secrets.server, cipher, digest, 0));
    loop_.change(of, descriptor(of), EPOLLIN | EPOLLET);
  }

  void on_readable_bare(peer& of) {
    bare_records& records = *of.bare;
    ssize_t read = 0;
    do {
      read = ::recv(descriptor(of), buffer_.data(), buffer_.size(), 0);
      if (read < 0 && errno == EAGAIN) break;
      if (read <= 0) return fail(of);
      const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(read));
      if (records.waiting.empty() && bytes.size() == records.answer_size &&
          ++records.unopened < answers_for_each_opened) {
        records.in.skip();
        return on_answer(of);
      }
      records.waiting += bytes;
    } while (static_cast<std::size_t>(read) == buffer_.size());
    if (!open_all(of)) {
      if (failed_ == 0)
        fmt::print(stderr, "a record of the server cannot be opened: alert, new keys or a fault\n");
      return fail(of);
    }
    if (of.in.empty()) return;
    records.unopened = 0;
    take_answer(of, {});
    if (of.bare && of.in.empty() && records.is_in_step)
      records.answer_size = of.answer_size + record_layer::overhead;
  }

  /// Moves the text of all whole records to `in`; false when one has a wrong tag.
  static bool open_all(peer& of) {
    bare_records& records = *of.bare;
    for (;;) {
      const std::string_view waiting = records.waiting;
      if (waiting.size() < record_layer::header_bytes) return true;
      const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(waiting[at]); };
      const std::size_t size = record_layer::header_bytes + (std::size_t{byte(3)} << 8 | byte(4));
      if (waiting.size() < size) return true;
      auto text = records.in.open(waiting.substr(0, size));
      // Tickets came before the first answer: nobody knows how many.
      for (std::uint64_t i = 1; !text && !records.is_in_step && i <= most_tickets; ++i) {
        records.in.skip_to(i);
        text = records.in.open(waiting.substr(0, size));
      }
      if (!text) return false;
      records.is_in_step = true;
      of.in += *text;
      records.waiting.erase(0, size);
    }
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
    take_answer(of, bytes);
  }

  void take_answer(peer& of, std::string_view bytes) {
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
      if (!std::exchange(of.is_settled, true)) become_bare(of);
      if (how_.takes_turns) of.request = next_request();
      return send(of);
    }
    if (is_resetting_) reset(of);
  }

  void reset(peer& of) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(descriptor(of), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    of.tls.abort();
    of.bare = nullptr;
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
  std::vector<std::string> requests_;
  static inline std::unordered_map<const load::tls_link*, told> told_;
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
