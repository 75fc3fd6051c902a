#include "server/auth/scheme_census.hpp"

#include <cstring>

namespace pam::auth {

std::uint64_t scheme_census::number_of(std::string_view text) const {
  const auto name = digest_.of(text);
  std::uint64_t number = 0;
  std::memcpy(&number, name.data(), sizeof number);
  return number;
}

void scheme_census::note(const uuid& account, const std::string& stored) {
  const std::string_view key{reinterpret_cast<const char*>(account.data), sizeof account.data};
  kind& slot = seen_[number_of(key) % slots];
  const kind now = stored.starts_with("$argon2id$") ? kind::own : kind::imported;
  if (now == kind::imported) sample_ = stored;
  if (slot == now) return;
  if (slot == kind::own) --own_;
  if (slot == kind::imported) --imported_;
  slot = now;
  ++(now == kind::own ? own_ : imported_);
}

std::string scheme_census::stand_in(std::string_view subject) const {
  if (imported_ == 0) return {};
  // The hash is uniform: below the share of imported ones, it is one of them.
  constexpr std::uint64_t steps = 1 << 20;
  const std::uint64_t place = number_of(subject) % steps;
  return place * (own_ + imported_) < imported_ * steps ? sample_ : std::string{};
}

}  // namespace pam::auth
