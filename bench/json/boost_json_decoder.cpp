#include "bench/json/boost_json_decoder.hpp"

#include <array>
#include <stdexcept>

#include <boost/json/src.hpp>  // header-only: this file alone has the library

namespace pam::bench {
namespace {

namespace json = boost::json;

/// The fastest way Boost.JSON documents: one parser a thread, values in memory that is given back at once.
template <class Read>
auto read_object(std::string_view body, Read read) {
  thread_local json::parser parser;
  std::array<unsigned char, 4096> memory;
  json::monotonic_resource arena{memory.data(), memory.size()};
  parser.reset(&arena);
  parser.write(body.data(), body.size());
  const json::value root = parser.release();
  if (!root.is_object()) throw std::runtime_error("not an object");
  return read(root.get_object());
}

/// A bounded string; null and absent read as nullptr.
const json::string* text_of(const json::object& of, std::string_view name, std::size_t max_bytes) {
  const json::value* const found = of.if_contains(name);
  if (found == nullptr || found->is_null()) return nullptr;
  const json::string& text = found->as_string();
  if (text.size() > max_bytes) throw std::runtime_error("too long");
  return &text;
}

std::optional<std::string> address_of(const json::object& of, std::string_view name, std::size_t max_bytes) {
  const json::string* const text = text_of(of, name, max_bytes);
  if (text == nullptr || text->empty()) return std::nullopt;
  return std::string{text->data(), text->size()};
}

std::optional<protocol::sensitive> secret_of(const json::object& of, std::string_view name,
                                             std::size_t max_bytes) {
  const json::string* const text = text_of(of, name, max_bytes);
  if (text == nullptr) return std::nullopt;
  return protocol::sensitive{std::string_view{text->data(), text->size()}};
}

protocol::metadata_patch patch_of(const json::object& of) {
  protocol::metadata_patch patch;
  const json::value* const data = of.if_contains("data");
  if (data == nullptr || data->is_null()) return patch;
  json::object set{data->storage()};
  for (const auto& [key, value] : data->as_object()) {
    if (value.is_null()) {
      patch.removed.emplace_back(key);
    } else {
      set.emplace(key, value);
    }
  }
  patch.set = json::serialize(set);
  if (patch.set.size() > protocol::max_metadata_bytes) throw std::runtime_error("too long");
  return patch;
}

}  // namespace

protocol::sign_up_request boost_json_sign_up(std::string_view body) {
  return read_object(body, [](const json::object& root) {
    protocol::sign_up_request request;
    request.email = address_of(root, "email", protocol::max_email_bytes);
    request.phone = address_of(root, "phone", protocol::max_phone_bytes);
    request.password = secret_of(root, "password", protocol::max_password_bytes);
    request.data = patch_of(root);
    return request;
  });
}

protocol::password_grant_request boost_json_password_grant(std::string_view body) {
  return read_object(body, [](const json::object& root) {
    protocol::password_grant_request request;
    request.email = address_of(root, "email", protocol::max_email_bytes);
    request.phone = address_of(root, "phone", protocol::max_phone_bytes);
    auto password = secret_of(root, "password", protocol::max_password_bytes);
    if (!password) throw std::runtime_error("no password");
    request.password = std::move(*password);
    return request;
  });
}

protocol::refresh_grant_request boost_json_refresh_grant(std::string_view body) {
  return read_object(body, [](const json::object& root) {
    protocol::refresh_grant_request request;
    auto token = secret_of(root, "refresh_token", protocol::max_refresh_token_bytes);
    if (!token) throw std::runtime_error("no refresh token");
    request.refresh_token = std::move(*token);
    return request;
  });
}

}  // namespace pam::bench
