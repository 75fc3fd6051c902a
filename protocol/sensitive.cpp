#include "protocol/sensitive.hpp"

#include <string.h>

#include <utility>

namespace pam::protocol {
namespace {

/// Moving from a short std::string leaves its bytes behind in the object: the whole capacity is wiped.
void wipe(std::string& text) noexcept {
  text.resize(text.capacity());  // never allocates
  explicit_bzero(text.data(), text.size());
  text.clear();
}

}  // namespace

sensitive::sensitive(sensitive&& other) noexcept : text_(std::move(other.text_)) {
  wipe(other.text_);
}

sensitive& sensitive::operator=(sensitive&& other) noexcept {
  if (this == &other) return *this;
  wipe(text_);
  text_ = std::move(other.text_);
  wipe(other.text_);
  return *this;
}

sensitive::~sensitive() {
  wipe(text_);
}

}  // namespace pam::protocol
