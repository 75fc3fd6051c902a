#include "server/crypto/key_set.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "server/crypto/detail/jwk.hpp"
#include "server/crypto/detail/strict_json.hpp"

namespace pam::crypto {
namespace {

namespace dom = simdjson::dom;

std::optional<algorithm> algorithm_named(std::string_view name) {
  for (const algorithm each : {algorithm::es256, algorithm::rs256, algorithm::eddsa, algorithm::hs256}) {
    if (detail::name_of(each) == name) return each;
  }
  return std::nullopt;
}

/// The algorithm of a signing key whose file does not name it.
std::string_view algorithm_of_type(std::string_view kty) {
  if (kty == "EC") return "ES256";
  if (kty == "RSA") return "RS256";
  if (kty == "OKP") return "EdDSA";
  return "HS256";
}

constexpr std::array private_members{"d", "p", "q", "dp", "dq", "qi"};

}  // namespace

std::string key_set::entry::text_of(std::string_view name) const {
  for (const auto& [member, json] : members) {
    const std::string_view value = json.view();
    if (member == name && value.size() >= 2 && value.front() == '"')
      return std::string{value.substr(1, value.size() - 2)};
  }
  return {};
}

std::optional<std::int64_t> key_set::entry::number_of(std::string_view name) const {
  for (const auto& [member, json] : members) {
    if (member != name) continue;
    std::int64_t number = 0;
    const std::string_view value = json.view();
    const auto [stop, failure] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (failure == std::errc{} && stop == value.data() + value.size()) return number;
  }
  return std::nullopt;
}

void key_set::entry::set(std::string_view name, std::string json) {
  for (auto& [member, value] : members) {
    if (member != name) continue;
    value = secret{json};
    return;
  }
  members.emplace_back(std::string{name}, secret{json});
}

void key_set::entry::remove(std::string_view name) {
  std::erase_if(members, [name](const auto& member) { return member.first == name; });
}

bool key_set::entry::is(std::string_view use, std::string_view state) const {
  return text_of("pam_use") == use && text_of("pam_state") == state;
}

result<std::vector<key_set::entry>> key_set::read(std::string_view jwk_set) {
  dom::parser parser;
  dom::object set;
  dom::array entries;
  std::vector<entry> found;
  const bool is_set =
      detail::parse_strict(parser, jwk_set, set) && set.at_key("keys").get(entries) == simdjson::SUCCESS;
  if (is_set) {
    for (const dom::element each : entries) {
      dom::object object;
      if (each.get(object) != simdjson::SUCCESS) continue;  // key_ring::parse() refused it before
      entry key;
      for (const auto& [name, value] : object) {
        std::string json = simdjson::minify(value);
        key.members.emplace_back(std::string{name}, secret{json});
        wipe(json.data(), json.size());
      }
      found.push_back(std::move(key));
    }
  }
  detail::wipe_document(parser);
  if (!is_set) return error{errc::bad_key, "not a JWK Set"};
  return found;
}

result<key_set> key_set::parse(std::string_view jwk_set) {
  const auto ring = key_ring::parse(jwk_set);
  if (ring.has_error()) return ring.error();
  auto read_keys = read(jwk_set);
  if (read_keys.has_error()) return read_keys.error();
  key_set made;
  made.keys_ = std::move(*read_keys);
  // Where the file leaves the name to the thumbprint, ours is written down: kids are how people talk.
  return made;
}

secret key_set::text() const {
  std::size_t size = 32;
  for (const entry& each : keys_) {
    for (const auto& [name, json] : each.members) size += name.size() + json.size() + 4;
    size += 8;
  }
  std::string out;
  out.reserve(size);  // never grows, so that it leaves no copies
  out.append("{\"keys\":[\n");
  for (const entry& each : keys_) {
    out.append(&each == &keys_.front() ? "{" : ",\n{");
    for (const auto& [name, json] : each.members) {
      out.append(out.back() == '{' ? "\"" : ",\"").append(name).append("\":").append(json.view());
    }
    out.append("}");
  }
  out.append("\n]}\n");
  secret made{out};
  wipe(out.data(), out.size());
  return made;
}

std::vector<key_facts> key_set::facts() const {
  std::vector<key_facts> all;
  for (const entry& each : keys_) {
    key_facts one;
    one.use = each.text_of("pam_use");
    one.state = each.text_of("pam_state");
    one.kid = each.text_of("kid");
    one.algorithm = each.text_of("alg");
    if (one.use == "refresh") one.algorithm = "HMAC-SHA256";
    if (one.algorithm.empty()) one.algorithm = algorithm_of_type(each.text_of("kty"));
    one.created = each.number_of("pam_created");
    one.signs_from = each.number_of("pam_signs_from");
    one.retired = each.number_of("pam_retired");
    all.push_back(std::move(one));
  }
  return all;
}

key_set::entry* key_set::find(std::string_view use, std::string_view state) {
  const auto found = std::ranges::find_if(keys_, [&](const entry& each) { return each.is(use, state); });
  return found == keys_.end() ? nullptr : &*found;
}

void key_set::settle(std::chrono::sys_seconds now) {
  for (const std::string_view use : {"user", "machine", "refresh"}) {
    entry* latest = nullptr;
    for (entry& each : keys_) {
      const auto from = each.number_of("pam_signs_from");
      if (!each.is(use, "next") || !from || *from > now.time_since_epoch().count()) continue;
      if (latest == nullptr || *from > *latest->number_of("pam_signs_from")) latest = &each;
    }
    if (latest == nullptr) continue;
    const std::string since = std::to_string(*latest->number_of("pam_signs_from"));
    entry* const before = find(use, "current");
    before->set("pam_state", "\"previous\"");
    before->set("pam_retired", since);
    latest->set("pam_state", "\"current\"");
  }
}

result<std::vector<std::string>> key_set::rotate(const rotation& how) {
  settle(how.now);
  std::vector<std::string> made;
  for (const std::string& use : how.uses) {
    const entry* const current = find(use, "current");
    if (current == nullptr) return error{errc::bad_key, "there is no key for the use " + use};
    if (find(use, "next") != nullptr) continue;  // one is on its way
    const auto since = current->number_of("pam_signs_from");
    const auto age =
        how.now.time_since_epoch().count() - since.value_or(current->number_of("pam_created").value_or(0));
    if (age < how.min_age.count()) continue;
    std::string name = current->text_of("alg");
    if (name.empty()) name = algorithm_of_type(current->text_of("kty"));
    result<secret> key = error{errc::failure, "the algorithm " + name + " is unknown"};
    if (use == "refresh") {
      // A number nobody has: tokens name their key by it.
      do {
        key = detail::generate_numbered_jwk(detail::jwk_use::refresh);
      } while (std::ranges::any_of(keys_, [&](const entry& each) {
        return key->view().find("\"kid\":\"" + each.text_of("kid") + "\"") != std::string_view::npos;
      }));
    } else if (const auto alg = algorithm_named(name)) {
      key = detail::generate_signing_jwk(use == "user" ? detail::jwk_use::user : detail::jwk_use::machine,
                                         *alg);
    }
    if (key.has_error()) return key.error();
    const secret set{"{\"keys\":[" + std::string{key->view()} + "]}"};
    auto read_key = read(set.view());
    if (read_key.has_error()) return read_key.error();
    entry& fresh = read_key->front();
    fresh.set("pam_state", "\"next\"");
    fresh.set("pam_created", std::to_string(how.now.time_since_epoch().count()));
    fresh.set("pam_signs_from", std::to_string((how.now + how.lead).time_since_epoch().count()));
    made.push_back(fresh.text_of("kid"));
    keys_.push_back(std::move(fresh));
  }
  return made;
}

std::vector<std::string> key_set::prune(std::chrono::sys_seconds now, const retention& keep) {
  settle(now);
  std::vector<std::string> gone;
  std::erase_if(keys_, [&](const entry& each) {
    const auto retired = each.number_of("pam_retired");
    const std::string use = each.text_of("pam_use");
    if (each.text_of("pam_state") != "previous" || !retired) return false;
    const auto needed = use == "refresh" ? keep.refresh : use == "machine" ? keep.machine : keep.signing;
    if (now.time_since_epoch().count() < *retired + needed.count()) return false;
    gone.push_back(each.text_of("kid"));
    return true;
  });
  for (entry& each : keys_) {
    const bool is_asymmetric = each.text_of("kty") != "oct";
    if (each.text_of("pam_state") != "previous" || !is_asymmetric) continue;
    for (const char* name : private_members) each.remove(name);
  }
  return gone;
}

}  // namespace pam::crypto
