// Connections: who comes, after those who are in.
#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <stdexcept>

#include "load-tests/swarm/swarm.hpp"

namespace pam::load {
namespace {

constexpr int ports_tried = 64;
/// Steps of handshakes after each turn of the other events: 1 ms.
constexpr int newcomers_per_wake_up = 4;

}  // namespace

/// All handshakes are under way at once, as the server sees it; only this process takes its time for them, or
/// a herd's would be in the latencies of those who are in.
void swarm::serve_newcomers() {
  std::array<epoll_event, newcomers_per_wake_up> ready;
  const int count = ::epoll_wait(newcomers_, ready.data(), newcomers_per_wake_up, 0);
  now_ = clock::now();
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = ready[static_cast<std::size_t>(i)];
    on_event(*static_cast<swarm_user*>(event.data.ptr), event.events);
  }
}

void swarm::connect(swarm_user& of) {
  of.is_busy = true;
  of.doing = operation::connect;
  of.due = now_;
  of.gives_up = now_ + plan_.give_up;
  ++handshaking_;
  if (!open(of)) return lost(of, "cannot connect");
  watch(of, EPOLLOUT, true);
}

/// From a port of our own choice: past 14,000 of the 28,000 that the system chooses from, it searches for
/// most of its time (70 % of a generator's CPU in __inet_check_established at 16,000 connections).
bool swarm::open(swarm_user& of) {
  for (int tried = 0; tried < ports_tried; ++tried) {
    source_.sin_port = htons(next_port_);
    next_port_ = next_port_ == last_port ? first_port : static_cast<std::uint16_t>(next_port_ + 1);
    if (of.link.open(tls_, source_, target_)) return true;
  }
  return false;
}

void swarm::watch(swarm_user& of, std::uint32_t events, bool is_new) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &of;
  const int set = of.link.state() == link_state::ready ? epoll_ : newcomers_;
  if (::epoll_ctl(set, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, of.link.descriptor(), &event) != 0) {
    throw std::runtime_error("epoll_ctl failed");
  }
}

void swarm::on_connected(swarm_user& of) {
  ::epoll_ctl(newcomers_, EPOLL_CTL_DEL, of.link.descriptor(), nullptr);
  watch(of, EPOLLIN, true);
  --handshaking_;
  ++connected_;
  count(of.link.is_resumed() ? "handshakes_resumed" : "handshakes_full");
  note_return(of);
  record(of);
  if (of.next == clock::time_point{}) {
    act_from_now_on(of);
  }
  become_free(of);
}

}  // namespace pam::load
