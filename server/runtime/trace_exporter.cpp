#include "server/runtime/trace_exporter.hpp"

#include <curl/curl.h>
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "server/runtime/curl_session.hpp"

namespace pam::runtime {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t batch_limit = 256;
constexpr std::chrono::milliseconds batch_age{500};  ///< how long a span waits for company
constexpr long request_timeout_ms = 5'000;
constexpr unsigned tries = 3;
constexpr std::chrono::milliseconds first_pause{500};
constexpr std::chrono::seconds farewell{2};

/// The answer's body is of no use to us; more than this is no collector's answer.
std::size_t discard(char*, std::size_t size, std::size_t count, void* seen) {
  constexpr std::size_t limit = 1024 * 1024;
  auto& bytes = *static_cast<std::size_t*>(seen);
  bytes += size * count;
  return bytes > limit ? 0 : size * count;
}

}  // namespace

struct trace_exporter::impl {
  explicit impl(trace_settings given) : settings(std::move(given)) {
    thread = std::thread{[this] {
      pthread_setname_np(pthread_self(), "traces");
      run();
    }};
  }

  ~impl() {
    {
      const std::scoped_lock lock{mutex};
      is_closing = true;
      gives_up_at = clock::now() + farewell;
    }
    has_news.notify_all();
    curl.wake_up();
    thread.join();
  }

  void run();
  std::vector<trace_span> next_batch();
  bool send(const std::string& body);
  bool transfer(CURL* request);
  bool pause(std::chrono::milliseconds time);
  bool has_given_up();

  const trace_settings settings;
  statistics counters;
  std::mutex mutex;
  std::condition_variable has_news;
  std::deque<trace_span> queue;
  bool is_closing = false;
  clock::time_point gives_up_at = clock::time_point::max();
  const curl_session curl{"Content-Type: application/json"};
  std::thread thread;
};

void trace_exporter::impl::run() {
  for (;;) {
    const std::vector<trace_span> batch = next_batch();
    if (batch.empty()) return;
    const std::string body = encode_otlp(batch);
    std::chrono::milliseconds wait = first_pause;
    bool was_taken = send(body);
    for (unsigned tried = 1; !was_taken && tried < tries && pause(wait); ++tried, wait *= 2)
      was_taken = send(body);
    (was_taken ? counters.exported : counters.dropped_refused)
        .fetch_add(batch.size(), std::memory_order_relaxed);
  }
}

/// Waits until a batch is full or old enough; empty at the end.
std::vector<trace_span> trace_exporter::impl::next_batch() {
  std::unique_lock lock{mutex};
  has_news.wait(lock, [this] { return is_closing || !queue.empty(); });
  has_news.wait_for(lock, batch_age, [this] { return is_closing || queue.size() >= batch_limit; });
  std::vector<trace_span> batch;
  const auto count = static_cast<std::ptrdiff_t>(std::min(queue.size(), batch_limit));
  batch.assign(std::make_move_iterator(queue.begin()), std::make_move_iterator(queue.begin() + count));
  queue.erase(queue.begin(), queue.begin() + count);
  return batch;
}

bool trace_exporter::impl::send(const std::string& body) {
  const curl_easy request{curl_easy_init()};
  if (!request) return false;
  std::size_t answered_bytes = 0;
  // Redirects are not followed: that is libcurl's default.
  curl_easy_setopt(request.get(), CURLOPT_URL, settings.endpoint.c_str());
  curl_easy_setopt(request.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(request.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(request.get(), CURLOPT_TIMEOUT_MS, request_timeout_ms);
  curl_easy_setopt(request.get(), CURLOPT_HTTPHEADER, curl.headers());
  curl_easy_setopt(request.get(), CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(request.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(request.get(), CURLOPT_WRITEFUNCTION, &discard);
  curl_easy_setopt(request.get(), CURLOPT_WRITEDATA, &answered_bytes);
  if (curl_multi_add_handle(curl.multi(), request.get()) != CURLM_OK) return false;
  const bool was_taken = transfer(request.get());
  curl_multi_remove_handle(curl.multi(), request.get());
  return was_taken;
}

bool trace_exporter::impl::transfer(CURL* request) {
  constexpr int poll_ms = 200;
  for (int running = 1; running > 0;) {
    if (curl_multi_perform(curl.multi(), &running) != CURLM_OK || has_given_up()) return false;
    if (running > 0 && curl_multi_poll(curl.multi(), nullptr, 0, poll_ms, nullptr) != CURLM_OK) return false;
  }
  int left = 0;
  const CURLMsg* const news = curl_multi_info_read(curl.multi(), &left);
  long status = 0;
  curl_easy_getinfo(request, CURLINFO_RESPONSE_CODE, &status);
  return news != nullptr && news->data.result == CURLE_OK && status >= 200 && status < 300;
}

/// False when there is no time left to try again.
bool trace_exporter::impl::pause(std::chrono::milliseconds time) {
  std::unique_lock lock{mutex};
  has_news.wait_for(lock, time, [this] { return is_closing; });
  return !is_closing;
}

bool trace_exporter::impl::has_given_up() {
  const std::scoped_lock lock{mutex};
  return clock::now() >= gives_up_at;
}

trace_exporter::trace_exporter(trace_settings settings)
    : impl_(std::make_unique<impl>(std::move(settings))) {}
trace_exporter::~trace_exporter() = default;

// The last characters of a request's id are random (net::detail::request_ids).
bool trace_exporter::samples(std::string_view request_id) const {
  constexpr std::size_t random_characters = 8;
  const std::size_t skipped = request_id.size() - std::min(request_id.size(), random_characters);
  return std::hash<std::string_view>{}(request_id.substr(skipped)) % 100 < impl_->settings.sample_percent;
}

void trace_exporter::offer(trace_span span) noexcept {
  try {
    const std::scoped_lock lock{impl_->mutex};
    if (impl_->queue.size() < impl_->settings.queue_limit && !impl_->is_closing) {
      impl_->queue.push_back(std::move(span));
      if (impl_->queue.size() == 1 || impl_->queue.size() == batch_limit) impl_->has_news.notify_one();
      return;
    }
  } catch (const std::exception&) {
    // Out of memory: the span is dropped like one that does not fit.
  }
  impl_->counters.dropped_queue_full.fetch_add(1, std::memory_order_relaxed);
}

const trace_exporter::statistics& trace_exporter::stats() const {
  return impl_->counters;
}

}  // namespace pam::runtime
