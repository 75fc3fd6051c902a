#include "server/runtime/load_tls.hpp"

#include <utility>

namespace pam::runtime {

std::optional<net::tls_config> tls_of(const configuration& settings) {
  if (!settings.listen.is_tls) return std::nullopt;
  return settings.tls;
}

std::optional<net::tls_config> internal_tls_of(const configuration& settings) {
  if (settings.internal.certificate_file.empty()) return std::nullopt;
  net::tls_config files;
  files.certificate_file = settings.internal.certificate_file;
  files.private_key_file = settings.internal.private_key_file;
  files.client_ca_file = settings.internal.client_ca_file;
  files.section = "internal";
  return files;
}

boost::system::result<std::unique_ptr<net::tls_context>, net::tls_error> load_tls_context(
    const std::optional<net::tls_config>& files) {
  if (!files) return std::unique_ptr<net::tls_context>{};
  auto loaded = net::tls_context::load(*files);
  if (loaded.has_error()) return loaded.error();
  return std::make_unique<net::tls_context>(std::move(*loaded));
}

}  // namespace pam::runtime
