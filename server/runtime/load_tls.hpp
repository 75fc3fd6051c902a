#pragma once

#include <memory>
#include <optional>

#include "server/net/tls.hpp"
#include "server/runtime/config.hpp"

namespace pam::runtime {

/// What the public port shows; nullopt: it speaks plain HTTP.
[[nodiscard]] std::optional<net::tls_config> tls_of(const configuration& settings);
/// What the internal port shows; nullopt: it speaks plain HTTP.
[[nodiscard]] std::optional<net::tls_config> internal_tls_of(const configuration& settings);

/// Blocking. @return null for a plain port
[[nodiscard]] boost::system::result<std::unique_ptr<net::tls_context>, net::tls_error> load_tls_context(
    const std::optional<net::tls_config>& files);

}  // namespace pam::runtime
