#include "protocol/refresh_token_text.hpp"

#include "protocol/base64url.hpp"

namespace pam::protocol {

std::optional<std::array<std::byte, refresh_token_image_bytes>> decode_refresh_token(std::string_view text) {
  if (text.size() != refresh_token_text_length || !text.starts_with(refresh_token_prefix)) {
    return std::nullopt;
  }
  std::array<std::byte, refresh_token_image_bytes> image;
  if (!decode_base64url(text.substr(refresh_token_prefix.size()), image)) return std::nullopt;
  return image;
}

std::string encode_refresh_token(const std::array<std::byte, refresh_token_image_bytes>& image) {
  std::string out;
  out.reserve(refresh_token_text_length);
  return out.append(refresh_token_prefix).append(encode_base64url(image));
}

}  // namespace pam::protocol
