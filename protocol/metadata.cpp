// Metadata that is written at sign-up, and the stored `amr` (declared in objects.hpp).
#include <algorithm>
#include <iterator>

#include "protocol/detail/json_reader.hpp"
#include "protocol/objects.hpp"

namespace pam::protocol {
namespace {

using detail::json_reader;

constexpr std::string_view proven_members[] = {"email", "email_verified", "phone_verified", "sub"};

bool is_proven_member(std::string_view key) {
  return std::find(std::begin(proven_members), std::end(proven_members), key) != std::end(proven_members);
}

void write_proven_members(json_writer& json, std::string_view email, const boost::uuids::uuid& account,
                          bool email_verified) {
  if (!email.empty()) json.member("email", email);
  json.key("email_verified");
  json.boolean(email_verified);
  json.key("phone_verified");
  json.boolean(false);
  json.member("sub", to_string(account));
}

}  // namespace

std::string initial_user_metadata(std::string_view data, std::string_view email,
                                  const boost::uuids::uuid& account, bool email_verified) {
  std::string out;
  out.reserve(data.size() + email.size() + 128);
  json_writer json{out};
  json.begin_object();
  auto& reader = json_reader::of_this_thread();
  const bool is_object = reader.read_object(data, [&](std::string_view key, json_reader::value& v) {
    if (is_proven_member(key)) return reader.skip(v);
    json.key(key);
    return reader.copy(v, json, out.max_size());
  });
  if (!is_object) return initial_identity_data(email, account, email_verified);
  write_proven_members(json, email, account, email_verified);
  json.end_object();
  return out;
}

std::string initial_identity_data(std::string_view email, const boost::uuids::uuid& account,
                                  bool email_verified) {
  std::string out;
  out.reserve(email.size() + 128);
  json_writer json{out};
  json.begin_object();
  write_proven_members(json, email, account, email_verified);
  json.end_object();
  return out;
}

std::vector<authentication_method> decode_amr(std::string_view json) {
  std::vector<authentication_method> methods;
  auto& reader = json_reader::of_this_thread();
  const bool is_fine = reader.read_array(json, [&](json_reader::value& element) {
    authentication_method& entry = methods.emplace_back();
    const bool has_members = reader.each_member(element, [&](std::string_view key, json_reader::value& v) {
      if (key == "timestamp") return reader.integer(v, entry.timestamp);
      if (key != "method") return reader.skip(v);
      std::string_view method;
      if (!reader.text(v, method)) return false;
      entry.method = method;
      return true;
    });
    return has_members && !entry.method.empty();
  });
  if (!is_fine) methods.clear();
  return methods;
}

std::size_t stored_size(std::string_view json) {
  std::size_t size = json.size();
  bool is_in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (is_in_string && c == '\\') {
      ++i;  // whatever is escaped ends no string
    } else if (c == '"') {
      is_in_string = !is_in_string;
    } else if (!is_in_string && (c == ',' || c == ':')) {
      ++size;
    }
  }
  return size;
}

}  // namespace pam::protocol
