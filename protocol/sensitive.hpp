#pragma once

#include <string>
#include <string_view>

namespace pam::protocol {

/// A decoded string that must not outlive its use (a password, a token): wiped when it dies or is
/// moved from. Move-only.
class sensitive {
 public:
  sensitive() = default;
  explicit sensitive(std::string_view text) : text_(text) {}
  sensitive(sensitive&& other) noexcept;
  sensitive& operator=(sensitive&& other) noexcept;
  sensitive(const sensitive&) = delete;
  sensitive& operator=(const sensitive&) = delete;
  ~sensitive();

  [[nodiscard]] std::string_view view() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }

 private:
  std::string text_;
};

}  // namespace pam::protocol
