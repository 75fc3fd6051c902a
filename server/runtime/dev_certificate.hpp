#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include <boost/system/result.hpp>

namespace pam::runtime {

/// A certificate for development: self-signed, ECDSA P-256, for `localhost`, `127.0.0.1` and `::1`.
struct dev_certificate {
  std::filesystem::path certificate;  ///< PEM, mode 0644: what a client is told to trust
  std::filesystem::path private_key;  ///< PEM (PKCS #8), mode 0600
  bool is_new = false;                ///< made by this call: clients must trust it anew
};

struct dev_certificate_error {
  std::string sentence;
};

[[noreturn]] void throw_exception_from_error(const dev_certificate_error& failure,
                                             const boost::source_location& where);

/// The certificate in `folder`, made when there is none, when it is damaged or does not fit its key, or when
/// it expires within 30 days. Valid for 397 days, the longest that browsers accept (CA/Browser Forum Baseline
/// Requirements 6.3.2). Files are replaced atomically.
/// @param folder  made when missing; the only place that is written
/// @param now     the time to judge by
/// @return paths, or one sentence: the folder cannot be written, or OpenSSL refused
[[nodiscard]] boost::system::result<dev_certificate, dev_certificate_error> ensure_dev_certificate(
    const std::filesystem::path& folder, std::chrono::system_clock::time_point now);

}  // namespace pam::runtime
