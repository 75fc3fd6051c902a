#pragma once

#include <string_view>

#include "protocol/requests.hpp"

/// The reference of the decode benches: the product's requests read with Boost.JSON, as one would write it
/// with that library. Into the same structs, metadata included, but judging less: keys that come twice,
/// digits beyond double and U+0000 pass. Throws boost::system::system_error for what is no JSON,
/// std::runtime_error for a member of another type.
namespace pam::bench {

[[nodiscard]] protocol::sign_up_request boost_json_sign_up(std::string_view body);
[[nodiscard]] protocol::password_grant_request boost_json_password_grant(std::string_view body);
[[nodiscard]] protocol::refresh_grant_request boost_json_refresh_grant(std::string_view body);

}  // namespace pam::bench
