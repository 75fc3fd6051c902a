#pragma once

#include <string_view>

namespace pam::api {

/// The token of an Authorization field's value, `Bearer <token>` (RFC 6750 section 2.1); empty when there is
/// none. The scheme's case is free (RFC 9110 section 11.1). A view of `authorization`, not validated.
[[nodiscard]] std::string_view bearer_token_of(std::string_view authorization);

}  // namespace pam::api
