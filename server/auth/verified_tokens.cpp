#include "server/auth/verified_tokens.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>

#include "async/counting.hpp"

namespace pam::auth {
namespace {

constexpr std::size_t ways = 4;

}  // namespace

struct verified_tokens::place {
  crypto::keyed_digest::value name{};
  bearer who;
  std::int64_t expires_at = 0;  ///< 0: free
};

verified_tokens::verified_tokens(std::size_t places)
    : sets_(std::bit_ceil(std::max<std::size_t>(places, ways)) / ways),
      places_(static_cast<place*>(std::calloc(sets_ * ways, sizeof(place)))) {
  // Zero is a free place: pages are touched when a token comes to lie in them.
  static_assert(std::is_trivially_copyable_v<place> && std::is_trivially_destructible_v<place>);
  if (!places_) throw std::bad_alloc();
}

verified_tokens::~verified_tokens() = default;

verified_tokens::place* verified_tokens::set_of(const crypto::keyed_digest::value& name) const {
  std::size_t index = 0;
  std::memcpy(&index, name.data(), sizeof(index));
  return &places_[index % sets_ * ways];
}

std::optional<bearer> verified_tokens::find(std::string_view token, std::int64_t now, std::uint64_t epoch) {
  if (epoch != epoch_) {
    // A key may be gone: everything is verified again.
    std::fill_n(places_.get(), sets_ * ways, place{});
    epoch_ = epoch;
  }
  const auto name = digest_.of(token);
  for (const place& each : std::span<const place>(set_of(name), ways)) {
    if (each.expires_at <= now || each.name != name) continue;
    async::count(statistics_.known);
    return each.who;
  }
  async::count(statistics_.unknown);
  return std::nullopt;
}

void verified_tokens::keep(std::string_view token, const bearer& who, std::int64_t expires_at,
                           std::uint64_t epoch) {
  if (expires_at <= 0 || epoch != epoch_) return;
  const auto name = digest_.of(token);
  const std::span<place> set(set_of(name), ways);
  const auto gives_way = std::ranges::min_element(set, {}, &place::expires_at);
  *gives_way = place{name, who, expires_at};
}

}  // namespace pam::auth
