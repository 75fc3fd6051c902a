// The loop: who connects, acts and leaves when.
#include "load-tests/swarm/swarm.hpp"

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace pam::load {
namespace {

constexpr std::size_t buffer_bytes = 64 * 1024;
constexpr int events_per_wake_up = 256;
/// Ends per second and process while ramping down: a kind end, no storm of its own.
constexpr std::uint32_t closes_per_turn = 64;

sockaddr_in address_of(const std::string& text, std::uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(port);
  if (::inet_pton(AF_INET, text.c_str(), &made.sin_addr) != 1) {
    throw std::runtime_error("no IPv4 address: " + text);
  }
  return made;
}

std::int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

swarm::swarm(swarm_plan plan, const population& people, std::ostream& out)
    : plan_(std::move(plan)),
      people_(people),
      out_(out),
      tls_(plan_.certificate, plan_.keeps_sessions),
      source_(address_of(plan_.source, 0)),
      target_(address_of(plan_.address, plan_.port)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      newcomers_(::epoll_create1(EPOLL_CLOEXEC)),
      users_(std::make_unique<swarm_user[]>(plan_.users)),
      buffer_(buffer_bytes),
      random_(plan_.first + 1),
      conduct_({plan_.think, plan_.read_share, plan_.list_share, plan_.refresh_share}) {
  if (epoll_ < 0 || newcomers_ < 0) throw std::runtime_error("epoll_create1 failed");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &newcomers_;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, newcomers_, &event) != 0) {
    throw std::runtime_error("epoll_ctl failed");
  }
  event.data.ptr = nullptr;  // standard input
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) {
    throw std::runtime_error("standard input must be a pipe: it carries the commands");
  }
}

swarm::~swarm() {
  ::close(newcomers_);
  ::close(epoll_);
}

int swarm::run() {
  take_seats();
  now_ = phase_began_ = clock::now();
  phase_cpu_ = cpu_time();
  next_second_ = now_ + std::chrono::seconds{1};
  while (!is_finished()) wait_and_serve();
  finish_phase();
  report_second();
  write_ledger();
  out_ << tally_.to_json() << "\n" << std::flush;
  return 0;
}

void swarm::take_seats() {
  for (std::uint32_t i = 0; i < plan_.users; ++i) {
    swarm_user& of = users_[i];
    const seat place = people_.at(plan_.first + i);
    of.index = i;
    of.model = {place.account, place.email, people_.first_token(place)};
  }
}

/// The user appears, as if signed in some time ago: the refreshes of those who appear together must not come
/// together, and nobody appears with a token that ended while others connected.
void swarm::appear(swarm_user& of) {
  const auto now = std::chrono::seconds{unix_seconds()};
  std::uniform_int_distribution<std::int64_t> age(0, plan_.access_lifetime.count() * 8 / 10);
  const auto lifetime = plan_.access_lifetime - std::chrono::seconds{age(random_)};
  of.access = people_.access_token(people_.at(plan_.first + of.index), now, lifetime);
  of.expires_at = (now + lifetime).count();
  connect(of);
}

bool swarm::is_finished() const {
  return (phase_ == phase::down && closed_ == plan_.users) || !is_input_open_;
}

int swarm::wait_milliseconds() const {
  if (to_lose_ != 0) return 0;
  if (phase_ == phase::down || (started_ < plan_.users && handshaking_ < plan_.handshakes)) return 1;
  clock::time_point until = next_second_;
  if (!timers_.empty()) until = std::min(until, timers_.top().when);
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left + 1, 0, 1'000));
}

void swarm::wait_and_serve() {
  std::array<epoll_event, events_per_wake_up> ready;
  const int count = ::epoll_wait(epoll_, ready.data(), events_per_wake_up, wait_milliseconds());
  now_ = clock::now();
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = ready[static_cast<std::size_t>(i)];
    if (event.data.ptr == nullptr) {
      read_commands();
    } else if (event.data.ptr != &newcomers_) {  // which only wakes
      on_event(*static_cast<swarm_user*>(event.data.ptr), event.events);
    }
  }
  if (handshaking_ != 0) serve_newcomers();
  if (to_lose_ != 0) lose_some();
  if (count > 0) now_ = clock::now();
  serve_timers();
  if (phase_ == phase::down) {
    ramp_down();
  } else {
    ramp_up();
  }
  if (now_ >= next_second_) {
    next_second_ += std::chrono::seconds{1};
    sweep();
    report_second();
  }
}

void swarm::read_commands() {
  std::array<char, 256> bytes;
  const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
  if (got <= 0) {
    is_input_open_ = false;  // whoever commands is gone
    return;
  }
  commands_.append(bytes.data(), static_cast<std::size_t>(got));
  for (std::size_t end = 0; (end = commands_.find('\n')) != std::string::npos;) {
    on_command(std::string_view(commands_).substr(0, end));
    commands_.erase(0, end + 1);
  }
}

void swarm::on_command(std::string_view line) {
  std::istringstream words{std::string{line}};
  std::string verb;
  double first = 0;
  double second = 0;
  words >> verb >> first >> second;
  if (verb == "steady") return begin_steady();
  if (verb == "storm") return begin_storm(first);
  if (verb == "calm") return enter(phase::herd);
  if (verb == "herd") return begin_herd(static_cast<std::uint32_t>(first), second);
  if (verb == "rolling") return enter(phase::rolling);
  if (verb == "reload") return enter(phase::reload);
  if (verb == "leave") return begin_leaving(static_cast<std::uint32_t>(first), second);
  if (verb == "login") return begin_login(first);
  if (verb == "down") return enter(phase::down);
  throw std::runtime_error("no such command: " + std::string{line});
}

void swarm::begin_storm(double seconds) {
  enter(phase::storm);
  std::uniform_real_distribution<double> when(0, std::max(seconds, 0.001));
  for (std::uint32_t i = 0; i < plan_.users; ++i) {
    const auto after =
        std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(when(random_)));
    timers_.push({now_ + after, i, purpose::storm});
  }
}

void swarm::begin_steady() {
  enter(phase::steady);
  if (plan_.ramp_factor == 1) return;
  // Users who planned with the ramp's think time plan anew; what they had planned is void.
  for (std::uint32_t i = 0; i < plan_.users; ++i) {
    if (users_[i].next != clock::time_point{} && !users_[i].is_overdue) act_from_now_on(users_[i]);
  }
}

void swarm::finish_phase() {
  const auto cpu = cpu_time();
  now_tally().wall += std::chrono::duration_cast<std::chrono::microseconds>(now_ - phase_began_);
  now_tally().cpu += cpu - phase_cpu_;
  phase_cpu_ = cpu;
  phase_began_ = now_;
}

void swarm::enter(phase next) {
  finish_phase();
  phase_ = next;
  for (std::uint32_t i = 0; i < plan_.users; ++i) users_[i].takes_part = false;
}

void swarm::ramp_up() {
  while (started_ < plan_.users && handshaking_ < plan_.handshakes) appear(users_[started_++]);
}

void swarm::ramp_down() {
  std::uint32_t left = closes_per_turn;
  for (std::uint32_t i = 0; i < plan_.users && left > 0; ++i) {
    swarm_user& of = users_[i];
    if (of.link.state() == link_state::closed || of.is_busy) continue;
    drop(of);
    --left;
  }
  closed_ = static_cast<std::uint32_t>(
      std::count_if(users_.get(), users_.get() + plan_.users,
                    [](const swarm_user& of) { return of.link.state() == link_state::closed; }));
}

void swarm::serve_timers() {
  while (!timers_.empty() && timers_.top().when <= now_) {
    const timer due = timers_.top();
    timers_.pop();
    swarm_user& of = users_[due.user];
    if (phase_ == phase::down) continue;
    if (due.what == purpose::trial) {
      if (!of.is_busy) go_on(of);
      continue;
    }
    if (due.what == purpose::storm) {
      of.wants_storm = true;
      if (!of.is_busy) act(of, due.when);
      continue;
    }
    if (due.when != of.next) continue;  // planned anew since
    if (!may_act(of)) {
      schedule(of);
    } else if (of.is_busy) {
      of.is_overdue = true;
    } else {
      now_tally().begin(now_ - due.when, plan_.tolerance);
      act(of, due.when);
    }
  }
}

// No timer for each answer: nearly all of them come.
void swarm::sweep() {
  // Who thinks longer while ramping signs in less often, too.
  conduct_.allow(plan_.sign_ins_per_second / slowness());
  for (std::uint32_t i = 0; i < plan_.users; ++i) {
    swarm_user& of = users_[i];
    if (of.is_busy && now_ > of.gives_up) fail(of, "no answer");
  }
}

void swarm::on_event(swarm_user& of, std::uint32_t events) {
  if (of.link.state() == link_state::closed) return;
  if (of.link.state() != link_state::ready) {
    switch (of.link.advance()) {
      case tls_link::outcome::done:
        return on_connected(of);
      case tls_link::outcome::want_read:
        return watch(of, EPOLLIN, false);
      case tls_link::outcome::want_write:
        return watch(of, EPOLLOUT, false);
      default:
        return lost(of, "handshake failed");
    }
  }
  if ((events & EPOLLOUT) != 0) flush(of);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) on_readable(of);
}

// ---- acting -----------------------------------------------------------------------------------------

double swarm::slowness() const {
  return phase_ == phase::ramp ? plan_.ramp_factor : 1;
}

void swarm::act_from_now_on(swarm_user& of) {
  of.next = conduct_.first_action(now_, random_);
  timers_.push({of.next, of.index, purpose::action});
}

void swarm::schedule(swarm_user& of) {
  of.next = conduct_.next_action(of.next, slowness(), random_);
  timers_.push({of.next, of.index, purpose::action});
}

std::chrono::seconds swarm::token_left(const swarm_user& of) {
  return std::chrono::seconds{of.expires_at - unix_seconds()};
}

operation swarm::choose(const swarm_user& of) {
  return conduct_.choose({.is_signed_in = of.is_signed_in,
                          .must_refresh = of.wants_storm,
                          .token_left = token_left(of),
                          .slowness = slowness(),
                          .may_sign_out = phase_ != phase::herd},
                         random_);
}

void swarm::act(swarm_user& of, clock::time_point due) {
  if (of.link.state() == link_state::closed) {
    // The action follows once connected; its time still counts from when it was due.
    if (!of.wants_storm) of.is_overdue = true;
    return connect(of);
  }
  const operation what = choose(of);
  of.due = due;
  if (!std::exchange(of.wants_storm, false)) schedule(of);
  send(of, what);
}

void swarm::send(swarm_user& of, operation what) {
  of.doing = what;
  of.is_busy = true;
  of.gives_up = now_ + plan_.give_up;
  of.pending_out = request_of(of, what);
  flush(of);
}

void swarm::flush(swarm_user& of) {
  std::string_view left = of.pending_out;
  while (!left.empty()) {
    const tls_link::transfer put = of.link.write(left);
    if (put.what == tls_link::outcome::done) {
      left.remove_prefix(put.bytes);
      continue;
    }
    if (put.what != tls_link::outcome::want_write) return lost(of, "connection lost while sending");
    of.pending_out.erase(0, of.pending_out.size() - left.size());
    return watch(of, EPOLLIN | EPOLLOUT, false);
  }
  const bool was_waiting = of.pending_out.empty();
  of.pending_out = {};
  if (was_waiting) watch(of, EPOLLIN, false);
}

}  // namespace pam::load
