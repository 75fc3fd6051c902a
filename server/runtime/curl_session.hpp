#pragma once

#include <curl/curl.h>

#include <memory>
#include <new>
#include <stdexcept>

namespace pam::runtime {

struct easy_deleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using curl_easy = std::unique_ptr<CURL, easy_deleter>;

/// libcurl for one thread: started while this lives, with a multi handle and the headers of every request.
/// Transfers end before it does.
class curl_session {
 public:
  /// Throws when libcurl does not start.
  explicit curl_session(const char* header) {
    multi_.reset(curl_multi_init());
    headers_.reset(curl_slist_append(nullptr, header));
    if (!multi_ || !headers_) throw std::bad_alloc{};
  }

  [[nodiscard]] CURLM* multi() const { return multi_.get(); }
  [[nodiscard]] curl_slist* headers() const { return headers_.get(); }
  /// Ends a wait in curl_multi_poll. Thread-safe.
  void wake_up() const { curl_multi_wakeup(multi_.get()); }

 private:
  /// Counted by libcurl: the last one that ends, ends it.
  struct library {
    library() {
      if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) throw std::runtime_error("libcurl does not start");
    }
    ~library() { curl_global_cleanup(); }
    library(const library&) = delete;
    library& operator=(const library&) = delete;
  };
  struct multi_deleter {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
  };
  struct list_deleter {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  library library_;  // first: the others need it to the last
  std::unique_ptr<CURLM, multi_deleter> multi_;
  std::unique_ptr<curl_slist, list_deleter> headers_;
};

}  // namespace pam::runtime
