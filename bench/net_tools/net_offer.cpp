// An open loop: requests are offered at a rate, whether or not the server keeps up. Users of a seeded
// population, one connection each; latency runs from the moment an arrival was due.
//
//   net_offer --connections 4000 --refresh-share 0.2 ...    then lines on standard input: RATE SECONDS
//
// Answers each line with one JSON object. Arrivals are Poisson, of a fixed seed. An arrival finds the
// connection that has been idle longest; when all are busy it waits for one, and its latency says so. It asks
// for answers without a pause and never sleeps: on loopback, waking it would be the server's time.
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <deque>
#include <exception>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/net_tools/event_loop.hpp"
#include "load-tests/swarm/histogram.hpp"
#include "load-tests/swarm/http_answer.hpp"
#include "load-tests/swarm/population.hpp"
#include "load-tests/swarm/tally.hpp"
#include "load-tests/swarm/tls_link.hpp"
#include "protocol/refresh_token_text.hpp"
#include "server/crypto/key_ring.hpp"

namespace pam::bench {
namespace {

using clock = std::chrono::steady_clock;
using outcome = load::tls_link::outcome;

struct plan {
  std::string address = "127.0.0.1";
  std::string source = "127.0.1.98";
  std::uint16_t port = 0;
  std::string certificate;
  std::string keys;
  std::string issuer = "https://localhost:8443/auth/v1";
  std::int64_t epoch = 0;
  std::uint32_t first = 0;  ///< number of the first user
  std::uint32_t connections = 1'000;
  std::size_t handshakes = 32;  ///< in flight while connecting
  double refresh_share = 0;     ///< of the users; the others read themselves
  bool is_signing_in = false;   ///< every request is a password sign-in
  std::chrono::seconds give_up{20};
};

struct peer {
  load::tls_link link;
  std::string request;
  std::string in;
  std::size_t token_at = std::string::npos;  ///< where the request holds a refresh token
  clock::time_point due{};
  bool is_ready = false;
  bool is_busy = false;
};

constexpr std::string_view token_name = R"("refresh_token":")";

std::string post(std::string_view grant, const std::string& body) {
  return fmt::format(
      "POST /auth/v1/token?grant_type={} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\n\r\n{}",
      grant, body.size(), body);
}

/// What one step of the offer brought.
struct step_tally {
  load::histogram right;    ///< latency of 200
  load::histogram refused;  ///< latency of 503
  std::uint64_t offered = 0;
  std::uint64_t waited = 0;     ///< arrivals that found every connection busy
  std::uint64_t failed = 0;     ///< lost connections and any other status
  std::uint64_t no_hint = 0;    ///< 503 without Retry-After
  std::uint64_t in_time = 0;    ///< right answers that came before the offer ended
  std::uint64_t refreshed = 0;  ///< right answers to refreshes
};

class offer {
 public:
  offer(plan how, const load::population& people)
      : how_(std::move(how)),
        tls_(how_.certificate, false),
        source_(address_of(how_.source, 0)),
        target_(address_of(how_.address, how_.port)),
        peers_(std::make_unique<peer[]>(how_.connections)) {
    prepare(people);
  }
  offer(const offer&) = delete;
  offer& operator=(const offer&) = delete;

  void connect() {
    for (std::uint32_t i = 0; i < how_.connections; ++i) {
      while (connecting_ >= how_.handshakes) turn(std::chrono::seconds{1});
      ++connecting_;
      if (!peers_[i].link.open(tls_, source_, target_)) throw std::runtime_error("cannot connect");
      loop_.add(peers_[i], peers_[i].link.descriptor(), EPOLLOUT);
    }
    while (connecting_ > 0) turn(std::chrono::seconds{1});
    fmt::print("{{\"connected\":{}}}\n", free_.size());
    std::fflush(stdout);
  }

  void step(double rate, double seconds) {
    tally_ = step_tally{};
    const auto began = clock::now();
    const auto cpu = load::cpu_time();
    const auto end = began + since(seconds);
    std::exponential_distribution<double> gap(rate);
    auto next = began + since(gap(random_));
    for (now_ = began; now_ < end; now_ = clock::now()) {
      for (; next <= now_ && next < end; next += since(gap(random_))) arrive(next);
      turn(clock::duration::zero());
    }
    tally_.in_time = tally_.right.count();
    const auto last = clock::now() + how_.give_up;
    while (busy_ > 0 && clock::now() < last) turn(std::chrono::milliseconds{100});
    report(rate, seconds, load::cpu_time() - cpu);
  }

 private:
  static clock::duration since(double seconds) {
    return std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds));
  }

  void prepare(const load::population& people) {
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
    const auto every = how_.refresh_share > 0 ? std::lround(1 / how_.refresh_share) : 0;
    for (std::uint32_t i = 0; i < how_.connections; ++i) {
      const load::seat who = people.at(how_.first + i);
      peer& of = peers_[i];
      if (how_.is_signing_in) {
        of.request = post("password", fmt::format(R"({{"email":"{}","password":"{}"}})", who.email,
                                                  load::population::password));
      } else if (every > 0 && i % static_cast<std::uint32_t>(every) == 0) {
        of.request =
            post("refresh_token",
                 fmt::format("{{{}{}\"}}", token_name,
                             protocol::encode_refresh_token(crypto::image_of(people.first_token(who)))));
        of.token_at = of.request.find(token_name) + token_name.size();
      } else {
        of.request =
            fmt::format("GET /auth/v1/user HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
                        people.access_token(who, now, std::chrono::hours{1}));
      }
    }
  }

  void turn(clock::duration wait) {
    loop_.turn(wait, now_, [this](peer& of) { on_event(of); });
  }

  void on_event(peer& of) {
    if (of.is_ready) return on_readable(of);
    const outcome reached = loop_.advance(of, of.link);
    if (reached == outcome::want_read || reached == outcome::want_write) return;
    if (reached != outcome::done) throw std::runtime_error("a handshake failed");
    --connecting_;
    of.is_ready = true;
    free_.push_back(&of);
  }

  void arrive(clock::time_point due) {
    ++tally_.offered;
    ++busy_;
    if (free_.empty()) {
      ++tally_.waited;
      waiting_.push_back(due);
      return;
    }
    peer& of = *free_.front();
    free_.pop_front();
    send(of, due);
  }

  void send(peer& of, clock::time_point due) {
    of.due = due;
    of.is_busy = true;
    if (of.link.write(of.request).bytes != of.request.size()) lose(of);
  }

  void on_readable(peer& of) {
    const load::tls_link::transfer got = of.link.read(buffer_);
    if (got.what == outcome::want_read) return;
    if (got.what != outcome::done) return lose(of);
    of.in.append(buffer_.data(), got.bytes);
    const load::parsed_answer parsed = load::parse_answer(of.in);
    if (!parsed.is_malformed && !parsed.answer) return;
    if (parsed.is_malformed || !of.is_busy || parsed.answer->closes) return lose(of);
    on_answer(of, *parsed.answer);
  }

  void on_answer(peer& of, const load::http_answer& answer) {
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now_ - of.due);
    if (answer.status == 200) {
      tally_.right.add(took);
      if (of.token_at != std::string::npos) {
        ++tally_.refreshed;
        keep_token(of, answer.body);
      }
    } else if (answer.status == 503) {
      tally_.refused.add(took);
      if (of.in.find("Retry-After: ") == std::string::npos) ++tally_.no_hint;
    } else {
      if (++tally_.failed == 1) fmt::print(stderr, "the first wrong answer:\n{}\n", of.in);
    }
    of.in.clear();
    of.is_busy = false;
    --busy_;
    if (waiting_.empty()) {
      free_.push_back(&of);
      return;
    }
    const auto due = waiting_.front();
    waiting_.pop_front();
    send(of, due);
  }

  /// The next refresh of this user presents what it was just given; every token has the same length.
  static void keep_token(peer& of, std::string_view body) {
    const std::size_t at = body.find(token_name);
    const std::size_t length = of.request.find('"', of.token_at) - of.token_at;
    if (at == std::string_view::npos) throw std::runtime_error("a refresh without a refresh token");
    of.request.replace(of.token_at, length, body.substr(at + token_name.size(), length));
  }

  void lose(peer& of) {
    ++tally_.failed;
    if (of.is_busy) --busy_;
    of.is_busy = false;
    of.link.close();
  }

  void report(double rate, double seconds, std::chrono::microseconds cpu) const {
    const auto row = [](const load::histogram& of) {
      return fmt::format(R"({{"count":{},"p50_ms":{:.3f},"p99_ms":{:.3f},"max_ms":{:.3f}}})", of.count(),
                         static_cast<double>(of.quantile(0.5).count()) / 1000,
                         static_cast<double>(of.quantile(0.99).count()) / 1000,
                         static_cast<double>(of.max().count()) / 1000);
    };
    fmt::print(
        R"({{"rate":{:.1f},"seconds":{:.2f},"offered":{},"in_time":{},"waited":{},"failed":{},"no_hint":{},)"
        R"("unanswered":{},"cpu_seconds":{:.3f},"refreshed":{},"right":{},"refused":{}}})"
        "\n",
        rate, seconds, tally_.offered, tally_.in_time, tally_.waited, tally_.failed, tally_.no_hint, busy_,
        std::chrono::duration<double>(cpu).count(), tally_.refreshed, row(tally_.right), row(tally_.refused));
    std::fflush(stdout);
  }

  plan how_;
  load::tls_client tls_;
  sockaddr_in source_;
  sockaddr_in target_;
  std::unique_ptr<peer[]> peers_;
  event_loop<peer> loop_;
  std::deque<peer*> free_;
  std::deque<clock::time_point> waiting_;
  std::array<char, 64 * 1024> buffer_;
  step_tally tally_;
  std::mt19937_64 random_{1};
  clock::time_point now_ = clock::now();
  std::size_t connecting_ = 0;
  std::size_t busy_ = 0;  ///< arrivals without an answer
};

void drive(const plan& how) {
  const auto keys = crypto::key_ring::load(how.keys);
  if (keys.has_error()) throw std::runtime_error(keys.error().detail);
  const load::population people(std::chrono::milliseconds{how.epoch}, *keys, how.issuer);
  const auto driven = std::make_unique<offer>(how, people);
  driven->connect();
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    double rate = 0;
    double seconds = 0;
    if (!(words >> rate >> seconds) || rate <= 0 || seconds <= 0)
      throw std::runtime_error("a step is RATE SECONDS, not '" + line + "'");
    driven->step(rate, seconds);
  }
}

}  // namespace
}  // namespace pam::bench

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  pam::bench::plan how;
  CLI::App app{"Offers requests at a rate; steps come on standard input: RATE SECONDS"};
  app.add_option("--port", how.port)->required();
  app.add_option("--source", how.source, "IPv4 address to connect from");
  app.add_option("--certificate", how.certificate, "PEM file of the trust anchor")->required();
  app.add_option("--keys", how.keys, "the server's key file")->required();
  app.add_option("--issuer", how.issuer);
  app.add_option("--epoch", how.epoch, "of the seeded population")->required();
  app.add_option("--first", how.first, "number of the first user");
  app.add_option("--connections", how.connections, "users, one connection each")
      ->check(CLI::Range(1, 19'900));
  app.add_option("--handshakes", how.handshakes, "in flight while connecting");
  app.add_option("--refresh-share", how.refresh_share, "of the users; the others read themselves")
      ->check(CLI::Range(0.0, 1.0));
  app.add_flag("--sign-in", how.is_signing_in, "every request is a password sign-in");
  CLI11_PARSE(app, argc, argv);
  try {
    pam::bench::drive(how);
  } catch (const std::exception& failure) {
    std::fputs(fmt::format("net_offer: {}\n", failure.what()).c_str(), stderr);
    return 1;
  }
  return 0;
}
