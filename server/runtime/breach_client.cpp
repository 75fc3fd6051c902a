#include "server/runtime/breach_client.hpp"

#include <curl/curl.h>
#include <pthread.h>
#include <strings.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include "async/tuple_await.hpp"
#include "server/net/networks.hpp"
#include "server/runtime/breach_answer.hpp"
#include "server/runtime/breach_cache.hpp"
#include "server/runtime/curl_session.hpp"

namespace pam::runtime {
namespace {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

constexpr std::size_t queue_limit = 256;
constexpr std::size_t transfer_limit = 16;
constexpr std::size_t answer_limit = 1024 * 1024;

/// One question: the coroutine that waits and the thread that asks meet here.
struct question {
  crypto::sha1_digest password{};
  clock::time_point until;
  asio::any_io_executor executor;

  std::mutex mutex;
  asio::steady_timer* waits = nullptr;  ///< of the coroutine, while it waits: its shard lives as long
  std::optional<bool> answer;           ///< whether it is stolen; none: nobody could tell

  /// Wakes the coroutine if it still waits. `self` is this question.
  static void finish(const std::shared_ptr<question>& self, std::optional<bool> found) {
    const std::scoped_lock lock{self->mutex};
    if (self->waits == nullptr) return;
    self->answer = found;
    asio::post(self->executor, [self] {
      if (self->waits != nullptr) self->waits->cancel();
    });
  }
};

/// Lets a question know its coroutine for as long as this object lives.
class waiting {
 public:
  waiting(question& what, asio::steady_timer& timer) : what_(what) {
    const std::scoped_lock lock{what_.mutex};
    what_.waits = &timer;
  }
  ~waiting() {
    const std::scoped_lock lock{what_.mutex};
    what_.waits = nullptr;
    ::explicit_bzero(what_.password.data(), what_.password.size());
  }
  waiting(const waiting&) = delete;
  waiting& operator=(const waiting&) = delete;

 private:
  question& what_;
};

/// One transfer under way.
struct transfer {
  std::shared_ptr<question> asked;
  std::string prefix;
  std::string body;
  curl_easy handle;
};

std::size_t collect(char* data, std::size_t size, std::size_t count, void* into) {
  auto& body = *static_cast<std::string*>(into);
  const std::size_t bytes = size * count;
  if (body.size() + bytes > answer_limit) return 0;
  try {
    body.append(data, bytes);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return bytes;
}

/// Where an operator's own address may lead and a stranger's name server must not: api.md, "Outbound calls".
class allowed_targets {
 public:
  explicit allowed_targets(const std::vector<std::string>& listed) : listed_(listed) {}

  [[nodiscard]] bool allow(const sockaddr* address) const {
    asio::ip::tcp::endpoint target;
    const bool is_v4 = address->sa_family == AF_INET;
    if (!is_v4 && address->sa_family != AF_INET6) return false;
    const std::size_t size = is_v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::copy_n(reinterpret_cast<const char*>(address), size, reinterpret_cast<char*>(target.data()));
    target.resize(size);
    return !private_.contain(target.address()) || listed_.contain(target.address());
  }

 private:
  // RFC 6890 and RFC 4193: this host, private use, links, shared space, documentation, multicast, reserved.
  net::networks private_{{"0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10",   "127.0.0.0/8",
                          "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",
                          "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
                          "224.0.0.0/3",    "::/127",        "64:ff9b::/96",    "100::/64",
                          "2001:db8::/32",  "fc00::/7",      "fe80::/10",       "ff00::/8"}};
  net::networks listed_;
};

curl_socket_t open_socket(void* allowed, curlsocktype, curl_sockaddr* target) {
  if (!static_cast<const allowed_targets*>(allowed)->allow(&target->addr)) return CURL_SOCKET_BAD;
  return ::socket(target->family, target->socktype | SOCK_CLOEXEC, target->protocol);
}

}  // namespace

struct breach_client::impl {
  impl(breach_settings given, logger& to)
      : settings(std::move(given)), log(to), targets(settings.private_networks) {
    thread = std::thread{[this] {
      pthread_setname_np(pthread_self(), "breaches");
      run();
    }};
  }

  ~impl() {
    {
      const std::scoped_lock lock{mutex};
      is_closing = true;
    }
    curl.wake_up();
    thread.join();
  }

  bool offer(const std::shared_ptr<question>& what);
  void run();
  bool start_waiting_ones();
  void start(const std::shared_ptr<question>& what);
  void finish_done_ones();
  void finish(transfer done, CURLcode outcome);
  void give_up(const std::shared_ptr<question>& what, std::string_view reason);
  [[nodiscard]] std::optional<bool> cached(const crypto::sha1_digest& password);

  const breach_settings settings;
  logger& log;
  const allowed_targets targets;
  breach_statistics counters;
  std::mutex mutex;  ///< of the three below
  std::deque<std::shared_ptr<question>> queue;
  breach_cache cache;
  bool is_closing = false;
  std::vector<std::unique_ptr<transfer>> transfers;  ///< the thread's alone
  const curl_session curl{"Add-Padding: true"};
  std::thread thread;
};

bool breach_client::impl::offer(const std::shared_ptr<question>& what) {
  {
    const std::scoped_lock lock{mutex};
    if (is_closing || queue.size() >= queue_limit) return false;
    queue.push_back(what);
  }
  curl.wake_up();
  return true;
}

void breach_client::impl::run() {
  constexpr int poll_ms = 1'000;
  while (start_waiting_ones()) {
    int running = 0;
    curl_multi_perform(curl.multi(), &running);
    finish_done_ones();
    curl_multi_poll(curl.multi(), nullptr, 0, poll_ms, nullptr);
  }
  for (const auto& each : transfers) {
    curl_multi_remove_handle(curl.multi(), each->handle.get());
    question::finish(each->asked, std::nullopt);
  }
  transfers.clear();
}

/// False when the client closes.
bool breach_client::impl::start_waiting_ones() {
  std::deque<std::shared_ptr<question>> next;
  {
    const std::scoped_lock lock{mutex};
    if (is_closing) return false;
    while (!queue.empty() && transfers.size() + next.size() < transfer_limit) {
      next.push_back(std::move(queue.front()));
      queue.pop_front();
    }
  }
  for (const auto& each : next) start(each);
  return true;
}

void breach_client::impl::start(const std::shared_ptr<question>& what) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(what->until - clock::now());
  if (left.count() <= 0) return;  // its coroutine has given up, and said so
  auto made = std::make_unique<transfer>();
  made->asked = what;
  made->handle.reset(curl_easy_init());
  CURL* const handle = made->handle.get();
  if (handle == nullptr) return give_up(what, "out of memory");
  {
    const std::scoped_lock lock{what->mutex};
    if (what->waits == nullptr) return;
    made->prefix = breach_prefix(what->password);
  }
  const std::string url = settings.url + "/" + made->prefix;
  // Redirects are not followed: that is libcurl's default, as is the check of the peer's certificate.
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "pam-auth");
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, curl.headers());
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &collect);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &made->body);
  curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  curl_easy_setopt(handle, CURLOPT_OPENSOCKETDATA, &targets);
  if (!settings.ca_file.empty()) curl_easy_setopt(handle, CURLOPT_CAINFO, settings.ca_file.c_str());
  if (curl_multi_add_handle(curl.multi(), handle) != CURLM_OK) return give_up(what, "libcurl refused");
  transfers.push_back(std::move(made));
}

void breach_client::impl::finish_done_ones() {
  int left = 0;
  while (const CURLMsg* const news = curl_multi_info_read(curl.multi(), &left)) {
    if (news->msg != CURLMSG_DONE) continue;
    CURL* const handle = news->easy_handle;
    const CURLcode outcome = news->data.result;
    curl_multi_remove_handle(curl.multi(), handle);  // `news` is gone with it
    const auto found =
        std::ranges::find_if(transfers, [handle](const auto& each) { return each->handle.get() == handle; });
    if (found == transfers.end()) continue;
    transfer done = std::move(**found);
    transfers.erase(found);
    finish(std::move(done), outcome);
  }
}

void breach_client::impl::finish(transfer done, CURLcode outcome) {
  if (outcome != CURLE_OK) return give_up(done.asked, curl_easy_strerror(outcome));
  long status = 0;
  curl_easy_getinfo(done.handle.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) return give_up(done.asked, "it answered " + std::to_string(status));
  auto range = breach_range::parse(done.body);
  if (!range) return give_up(done.asked, "its answer is no list of hashes");
  crypto::sha1_digest password;
  {
    const std::scoped_lock lock{done.asked->mutex};
    password = done.asked->password;  // zeros when nobody waits any more
  }
  const bool is_stolen = range->contains(password);
  {
    const std::scoped_lock lock{mutex};
    cache.keep(done.prefix, std::move(*range), clock::now());
  }
  question::finish(done.asked, is_stolen);
}

// The reason names neither the prefix nor the account: the log holds nothing of a password.
void breach_client::impl::give_up(const std::shared_ptr<question>& what, std::string_view reason) {
  log.warn("breach_check_failed", {{"reason", reason}}, "a password was not checked, and allowed");
  question::finish(what, std::nullopt);
}

std::optional<bool> breach_client::impl::cached(const crypto::sha1_digest& password) {
  const std::scoped_lock lock{mutex};
  const breach_range* const range = cache.find(breach_prefix(password), clock::now());
  if (range == nullptr) return std::nullopt;
  return range->contains(password);
}

breach_client::breach_client(breach_settings settings, logger& log)
    : impl_(std::make_unique<impl>(std::move(settings), log)) {}
breach_client::~breach_client() = default;

asio::awaitable<bool> breach_client::is_stolen(crypto::sha1_digest password, async::deadline deadline) {
  const auto count = [](std::atomic<std::uint64_t>& of) { of.fetch_add(1, std::memory_order_relaxed); };
  breach_statistics& counters = impl_->counters;
  if (const auto known = impl_->cached(password)) {
    count(counters.cached);
    count(*known ? counters.stolen : counters.clean);
    co_return *known;
  }
  const auto asked = std::make_shared<question>();
  asked->password = password;
  ::explicit_bzero(password.data(), password.size());
  asked->executor = co_await asio::this_coro::executor;
  asked->until = std::min(deadline.unmetered(), clock::now() + impl_->settings.timeout);
  asio::steady_timer timer{asked->executor, asked->until};
  const waiting here{*asked, timer};
  if (!impl_->offer(asked)) {
    impl_->log.warn("breach_check_failed", {{"reason", "too many passwords wait"}},
                    "a password was not checked, and allowed");
    count(counters.unanswered);
    co_return false;
  }
  const auto [woken] = co_await timer.async_wait(async::tuple_await);
  std::optional<bool> found;
  {
    const std::scoped_lock lock{asked->mutex};
    found = asked->answer;
  }
  if (!found) {
    // Woken early, the thread has said why.
    if (!woken) {
      impl_->log.warn("breach_check_failed", {{"reason", "no answer in time"}},
                      "a password was not checked, and allowed");
    }
    count(counters.unanswered);
    co_return false;
  }
  count(*found ? counters.stolen : counters.clean);
  co_return *found;
}

const breach_statistics& breach_client::stats() const {
  return impl_->counters;
}

}  // namespace pam::runtime
