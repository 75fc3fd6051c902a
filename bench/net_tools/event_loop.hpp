#pragma once

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "load-tests/swarm/tls_link.hpp"

namespace pam::bench {

/// An IPv4 address and a port. Throws std::runtime_error when the text is none.
[[nodiscard]] inline sockaddr_in address_of(const std::string& text, std::uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(port);
  if (::inet_pton(AF_INET, text.c_str(), &made.sin_addr) != 1)
    throw std::runtime_error("no IPv4 address: " + text);
  return made;
}

/// What a generator of this folder waits with: a level-triggered epoll set of its peers, which must outlive
/// it.
template <class Peer>
class event_loop {
 public:
  using clock = std::chrono::steady_clock;

  event_loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) throw std::runtime_error("epoll_create1 failed");
  }
  ~event_loop() { ::close(epoll_); }
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;

  void add(Peer& of, int descriptor, std::uint32_t events) { control(EPOLL_CTL_ADD, of, descriptor, events); }
  void change(Peer& of, int descriptor, std::uint32_t events) {
    control(EPOLL_CTL_MOD, of, descriptor, events);
  }

  /// Goes on with a handshake: watches for what it wants next, or, once it has ended, for answers.
  /// @return the outcome; anything but done, want_read and want_write is a failure
  [[nodiscard]] load::tls_link::outcome advance(Peer& of, load::tls_link& link) {
    using outcome = load::tls_link::outcome;
    const outcome reached = link.advance();
    if (reached == outcome::done || reached == outcome::want_read) change(of, link.descriptor(), EPOLLIN);
    if (reached == outcome::want_write) change(of, link.descriptor(), EPOLLOUT);
    return reached;
  }

  /// Waits for events, at most so long, and calls `on_event(peer)` for each peer that has some.
  /// @param now  set to when it woke up, before the first call
  template <class OnEvent>
  void turn(clock::duration wait, clock::time_point& now, OnEvent on_event) {
    const auto left = std::max<std::int64_t>(std::chrono::nanoseconds{wait}.count(), 0);
    const timespec until{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    const int count = ::epoll_pwait2(epoll_, ready_.data(), static_cast<int>(ready_.size()), &until, nullptr);
    now = clock::now();
    for (int i = 0; i < count; ++i)
      on_event(*static_cast<Peer*>(ready_[static_cast<std::size_t>(i)].data.ptr));
  }

 private:
  void control(int how, Peer& of, int descriptor, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &of;
    if (::epoll_ctl(epoll_, how, descriptor, &event) != 0) throw std::runtime_error("epoll_ctl failed");
  }

  int epoll_;
  std::array<epoll_event, 256> ready_;
};

}  // namespace pam::bench
