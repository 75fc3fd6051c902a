#pragma once

#include <netinet/in.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "load-tests/swarm/answer_check.hpp"
#include "load-tests/swarm/conduct.hpp"
#include "load-tests/swarm/http_answer.hpp"
#include "load-tests/swarm/population.hpp"
#include "load-tests/swarm/tally.hpp"
#include "load-tests/swarm/tls_link.hpp"

namespace pam::load {

using clock = std::chrono::steady_clock;

/// How one process plays its share of the population.
struct swarm_plan {
  std::string address = "127.0.0.1";  ///< of the server
  std::uint16_t port = 8443;
  std::string host = "localhost";  ///< the Host field
  std::string prefix = "/auth/v1";
  std::string source = "127.0.1.1";  ///< one address a process: its own 64,000 ports
  std::string certificate;           ///< PEM, the trust anchor
  std::string ledger;                ///< what the clients were told, written at the end; empty: not at all
  std::uint32_t first = 0;           ///< user numbers [first, first + users)
  std::uint32_t users = 100;
  std::chrono::milliseconds think{30'000};  ///< mean time between a user's actions
  double ramp_factor = 1;                   ///< think times while ramping are so much longer, sign-ins rarer
  std::chrono::seconds access_lifetime{300};  ///< of the tokens users start with
  std::chrono::milliseconds tolerance{50};    ///< an action begun later than this after its time is late
  std::chrono::milliseconds give_up{15'000};  ///< no answer within it: failed
  std::size_t handshakes = 16;                ///< in flight while ramping
  double sign_ins_per_second = 1;             ///< this process's share of the hash budget
  bool keeps_sessions = false;                ///< TLS tickets, to resume with
  double read_share = 0.70, list_share = 0.10, refresh_share = 0.15;  ///< the rest signs out and in
};

/// What a user does in a phase that signs everybody in at once.
enum class attendance : std::uint8_t { absent, leaving, outside, entering };

/// A user: connection, tokens, and when it acts next.
struct swarm_user {
  tls_link link;
  user_model model;
  std::string access;
  std::int64_t expires_at = 0;  ///< of the access token, Unix seconds
  std::string pending_in;       ///< an answer that has not arrived whole
  std::string pending_out;      ///< a request the socket did not take whole
  clock::time_point due{};      ///< the intended start of the action under way
  clock::time_point next{};     ///< the intended start of the next one
  clock::time_point gives_up{};
  std::uint32_t index = 0;
  operation doing = operation::connect;
  bool is_busy = false;
  bool is_overdue = false;  ///< its next action is due and waits for the one under way
  bool is_signed_in = true;
  bool is_certain = true;  ///< false: an answer was lost, the tables may know more of its session than we do
  bool wants_storm = false;
  bool takes_part = false;  ///< in what the phase is about; who does not is a bystander
  bool is_away = false;     ///< lost its connection in a herd and is not back yet
  bool is_known_device = false;
  attendance part = attendance::absent;
  operation interrupted = operation::connect;  ///< to be sent again once connected; connect: nothing
  clock::time_point interrupted_due{};
  clock::time_point asked_at{};  ///< when it last tried to sign in, in a login phase
  clock::time_point left_at{};   ///< when it went away, or wanted to sign in

  /// What a refresh or a sign-in brought replaces what it had: the next request carries the new ones.
  void adopt(new_tokens tokens);
};

/// Plays users until told to stop. Commands come as lines on standard input; one JSON line a second and one
/// at the end go to `out`.
///
///     steady                what follows is measured
///     storm SECONDS         everybody refreshes once within them
///     calm                  herd phase: nobody signs in or out any more, lost connections are no failures
///     herd COUNT SECONDS    so many users lose their connections now and come back within the time
///     rolling | reload      names what follows
///     leave COUNT SECONDS   login phase: so many users sign out within the time and stay outside
///     login SHARE           they all sign in now, the share of them from known devices
///     down                  everybody finishes and leaves
class swarm {
 public:
  swarm(swarm_plan plan, const population& people, std::ostream& out);
  ~swarm();
  swarm(const swarm&) = delete;
  swarm& operator=(const swarm&) = delete;
  int run();

 private:
  enum class purpose : std::uint8_t { action, storm, trial };
  struct timer {
    clock::time_point when;
    std::uint32_t user;
    purpose what;
    bool operator<(const timer& other) const { return when > other.when; }  // earliest first
  };

  // The loop (swarm.cpp).
  void take_seats();
  void wait_and_serve();
  void on_event(swarm_user& of, std::uint32_t events);
  void on_command(std::string_view line);
  void read_commands();
  void enter(phase next);
  void begin_steady();
  void begin_storm(double seconds);
  void ramp_up();
  void ramp_down();
  void serve_timers();
  void sweep();
  [[nodiscard]] int wait_milliseconds() const;
  [[nodiscard]] bool is_finished() const;

  // Connections (swarm_connect.cpp).
  void serve_newcomers();
  void connect(swarm_user& of);
  bool open(swarm_user& of);
  void watch(swarm_user& of, std::uint32_t events, bool is_new);
  void on_connected(swarm_user& of);

  // Acting (swarm.cpp).
  void appear(swarm_user& of);
  void act(swarm_user& of, clock::time_point due);
  [[nodiscard]] static std::chrono::seconds token_left(const swarm_user& of);
  operation choose(const swarm_user& of);
  void send(swarm_user& of, operation what);
  // Requests (swarm_requests.cpp).
  std::string request_of(const swarm_user& of, operation what) const;
  void flush(swarm_user& of);
  void schedule(swarm_user& of);
  void act_from_now_on(swarm_user& of);
  [[nodiscard]] double slowness() const;

  // Herds and sign-ins of everybody (swarm_trials.cpp).
  void begin_herd(std::uint32_t count, double seconds);
  void lose_some();
  bool comes_back(swarm_user& of);
  void note_return(swarm_user& of);
  void begin_leaving(std::uint32_t count, double seconds);
  void begin_login(double known_share);
  void go_on(swarm_user& of);
  [[nodiscard]] bool is_told_to_wait(const swarm_user& of, const http_answer& answer) const;
  void wait_for_turn(swarm_user& of, const http_answer& answer);
  void try_again(swarm_user& of);
  void note_entry(swarm_user& of);
  [[nodiscard]] bool may_act(const swarm_user& of) const;
  void plan_trial(swarm_user& of, double after, double within);
  void count(std::string_view name, std::uint64_t more = 1) { now_tally().counts[name] += more; }
  void at_most(std::string_view name, clock::duration value);

  // Answers (swarm_answers.cpp).
  void on_readable(swarm_user& of);
  void on_answer(swarm_user& of, const http_answer& answer);
  std::string_view judge(swarm_user& of, const http_answer& answer);
  void record(swarm_user& of);
  void note_failure(swarm_user& of, std::string_view reason, bool may_have_happened);
  void give_action_up(swarm_user& of);
  void fail(swarm_user& of, std::string_view reason);
  void lost(swarm_user& of, std::string_view reason);
  void drop(swarm_user& of);
  void become_free(swarm_user& of);

  // Reports (swarm_report.cpp).
  void report_second();
  void write_ledger();
  void finish_phase();

  phase_tally& now_tally() { return tally_.by_phase[static_cast<std::size_t>(phase_)]; }

  swarm_plan plan_;
  const population& people_;
  std::ostream& out_;
  tls_client tls_;
  static constexpr std::uint16_t first_port = 10'000, last_port = 65'535;  ///< others may hold some
  std::uint16_t next_port_ = first_port;  ///< of `source_`, for the next connection
  sockaddr_in source_{};
  sockaddr_in target_{};
  int epoll_;
  int newcomers_;  ///< an epoll set inside the first: connections until their handshake is done
  std::unique_ptr<swarm_user[]> users_;
  std::priority_queue<timer> timers_;
  std::vector<char> buffer_;
  std::string commands_;
  answer_check check_;
  tally tally_;
  conduct::chance random_;
  conduct conduct_;
  phase phase_ = phase::ramp;
  clock::time_point now_;
  clock::time_point phase_began_;
  std::chrono::microseconds phase_cpu_{0};
  clock::time_point next_second_;
  std::uint32_t started_ = 0;  ///< users that have begun to connect
  std::size_t handshaking_ = 0;
  std::uint32_t connected_ = 0;
  std::uint32_t to_lose_ = 0;       ///< users of a herd who still have their connections
  std::uint32_t next_to_lose_ = 0;  ///< where to look for the next of them
  std::uint32_t away_ = 0;          ///< users of a herd who are not back yet
  std::uint32_t outside_ = 0;       ///< users of a login phase who are not signed in
  double back_within_ = 1;          ///< seconds in which who lost its connection returns
  std::uint32_t closed_ = 0;        ///< while ramping down
  std::vector<std::string> ended_;  ///< ledger lines of sessions that were signed out
  bool is_input_open_ = true;
};

}  // namespace pam::load
